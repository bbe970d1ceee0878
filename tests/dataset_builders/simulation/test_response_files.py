"""Response files as the simulation's instrument: small ones written here, and Chandra's own."""

import json
import shutil

import numpy as np
import ogip_writer
import pytest

from hf_specclip.spectra import emission as models
from hf_specclip.spectra import read_arf, read_rmf
from hf_specclip.spectra.rebin import energy_grid, rebin_model
from specclip_datasets.__main__ import main
from specclip_datasets.simulation import instrument
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.knobs import Knobs
from specclip_datasets.simulation.response_files import find_responses, load_responses

# Energies that fit neither the simulation's bins nor each other, and channels from 0.2 to 8.6 keV.
ENERGIES = np.concatenate([np.linspace(0.25, 2.0, 71), np.linspace(2.03, 9.5, 60)])
CHANNELS = np.linspace(0.2, 8.6, 421)
MIDDLE = (ENERGIES[1:] + ENERGIES[:-1]) / 2
AREA = 300.0 * np.exp(-(np.log(MIDDLE / 1.8) ** 2))


def groups():
    """Every photon of an energy falls evenly into the five channels about it, with a loss."""
    first = np.clip(np.searchsorted(CHANNELS, MIDDLE) - 3, 0, len(CHANNELS) - 6)
    return [[(int(channel) + 1, [0.19] * 5)] for channel in first]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pairs: one as above, one with twice the area and other channels."""
    place = tmp_path_factory.mktemp("responses")
    return write_pair(write_pair(place, "one"), "two", 2.0, np.linspace(0.3, 8.4, 421))


def write_pair(folder, stem, factor=1.0, channels=CHANNELS, **header):
    ogip_writer.write(
        folder / f"{stem}.arf", ogip_writer.arf_hdu(factor * AREA, ENERGIES, **header)
    )
    ogip_writer.write(
        folder / f"{stem}.rmf",
        ogip_writer.matrix_hdu(groups(), edges=ENERGIES),
        ogip_writer.ebounds_hdu(channels),
    )
    return folder


def only(folder, stem="one"):
    [item] = load_responses([(str(folder / f"{stem}.arf"), str(folder / f"{stem}.rmf"))])
    return item


def test_photons_are_shared_out_over_the_files_energies_by_overlap(folder):
    response = only(folder).response
    photons = models.power_law(instrument.PHOTON_EDGES, [0.5, 1.7, 4.0])
    rates = instrument.fold(photons, np.zeros(3, dtype=int), np.zeros(3), [response])
    matrix, area = read_rmf(folder / "one.rmf"), read_arf(folder / "one.arf")
    expected = matrix.fold(rebin_model(photons, instrument.PHOTON_EDGES, matrix.energy_edges), area)
    inside = (CHANNELS[1:] > 0.5) & (CHANNELS[:-1] < 8.0)
    np.testing.assert_allclose(rates, expected[:, inside], rtol=2e-5)
    assert response.redistribution.dtype == np.float32
    np.testing.assert_allclose(response.area, area.on(instrument.PHOTON_EDGES), rtol=1e-6)
    # None is lost but where the detector loses it: 5 % here, and what falls beside the bins.
    one = np.zeros((1, 870))
    one[0, 400] = 1.0
    seen = instrument.fold(one, np.zeros(1, dtype=int), np.zeros(1), [response]).sum()
    mean = read_arf(folder / "one.arf").on(instrument.PHOTON_EDGES[400:402])
    assert seen == pytest.approx(0.95 * float(mean[0]), rel=1e-5)


def test_areas_are_the_files_own_unless_vignetting_is_asked_for(folder):
    pairs = [(str(folder / "one.arf"), str(folder / "one.rmf"))]
    energy, theta = np.array([1.5, 6.4]), np.array([0.0, 10.0])
    zeros = np.zeros(2, dtype=int)
    areas = {
        vignetted: instrument.effective_area(
            zeros, theta, energy, [load_responses(pairs, vignetted=vignetted)[0].response]
        )
        for vignetted in (True, False)
    }
    at = read_arf(folder / "one.arf").at(energy)
    np.testing.assert_allclose(areas[True], [at, at])
    np.testing.assert_allclose(areas[False][0], at)
    np.testing.assert_allclose(areas[False][1] / at, [0.82, 0.65], atol=0.02)


def test_an_area_folded_into_the_matrix_is_the_same_as_one_beside_it(folder, tmp_path):
    ogip_writer.write(
        tmp_path / "one.rsp",
        ogip_writer.matrix_hdu(groups(), edges=ENERGIES, scale=AREA),
        ogip_writer.ebounds_hdu(CHANNELS),
    )
    [pair] = find_responses(tmp_path)
    assert pair == ("", str(tmp_path / "one.rsp"))
    [folded] = load_responses([pair])
    photons = models.power_law(instrument.PHOTON_EDGES, [[1.7]])[0]
    zero = np.zeros(1, dtype=int)
    rates = [
        instrument.fold(photons, zero, np.zeros(1), [item.response])
        for item in (folded, only(folder))
    ]
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-4)


def test_universes_use_all_files_and_a_files_content_is_what_counts(folder, tmp_path):
    pairs = find_responses(folder)
    assert [name.rsplit("/", 1)[1] for name, _ in pairs] == ["one.arf", "two.arf"]
    universe = Universe(Knobs(pairs=80, seed=3, fits=False, responses=pairs))
    seen = universe.detections
    assert set(seen.response) == {0, 1}
    for obsid in np.unique(seen.obsid):
        assert len(set(seen.response[seen.obsid == obsid])) == 1
    rows = universe.rows(np.arange(80))
    assert rows["detector"].null_count == 80
    # Elsewhere, named otherwise, in another order, and one of them twice: the same universe.
    for old, new in (("one", "b"), ("two", "a"), ("two", "c")):
        for kind in ("arf", "rmf"):
            shutil.copy(folder / f"{old}.{kind}", tmp_path / f"{new}.{kind}")
    again = Universe(Knobs(pairs=80, seed=3, fits=False, responses=find_responses(tmp_path)))
    assert again.rows(np.arange(80)).equals(rows)
    digests = [
        [item["blake2b"] for item in other.knobs.record()["responses"]]
        for other in (universe, again)
    ]
    assert digests[0] == digests[1]
    # Channels and areas differ between the two: counts follow each one's own.
    edges = energy_grid()
    area = np.array(rows["effective_area"].to_pylist())
    peak = area.max(axis=1)
    assert set(np.round(peak / peak.min())) == {1.0, 2.0}
    shape = np.interp((edges[1:] + edges[:-1]) / 2, MIDDLE, AREA)
    smaller = area[peak < 1.5 * peak.min()]
    np.testing.assert_allclose(smaller, np.tile(shape, (len(smaller), 1)), rtol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_counts_are_poisson_and_lie_where_the_files_channels_do(folder, index):
    universe = Universe(Knobs(pairs=60, seed=3, fits=False, responses=find_responses(folder)))
    mine = universe.detections.response == index
    bright = int(np.argmax(universe.detections.exposure * mine))
    again = universe.observe(np.full(300, bright), np.arange(300) + 10_000)
    total = again.channels.sum(axis=1)
    assert total.var(ddof=1) == pytest.approx(total.mean(), rel=0.3)
    # What a channel holds is dealt over the bins that it overlaps, the rest of an outer one lost.
    channels, bins = universe.responses[index].channel_edges, energy_grid()
    held = again.channels.sum(axis=0)
    assert held[len(channels) - 1 :].sum() == 0
    expected = rebin_model(held[: len(channels) - 1], channels, bins)
    found = again.counts.sum(axis=0)
    assert found.sum() == pytest.approx(expected.sum(), rel=0.01)
    middle = (bins[1:] + bins[:-1]) / 2
    mean = [(values * middle).sum() / values.sum() for values in (found, expected)]
    # Draws of one detection are dealt with the same numbers: their errors do not average out.
    assert mean[0] == pytest.approx(mean[1], abs=6e-3)


def test_command_line_records_contents_and_gives_the_same_bytes_with_two_processes(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("specclip_datasets.simulation.rows.BATCH", 16)
    made = []
    for processes in ("1", "2"):
        place = tmp_path / processes
        arguments = ["simulate", "--config", "custom", "--pairs", "48", "--seed", "4"]
        arguments += ["--set", "fits=false", "--responses", str(folder)]
        assert main([*arguments, "--processes", processes, "--output", str(place)]) == 0
        files = sorted(path for path in place.rglob("*") if path.is_file())
        made.append({path.relative_to(place): path.read_bytes() for path in files})
    assert made[0] == made[1]
    text = (tmp_path / "1" / "specclip_dataset.json").read_text()
    knobs = json.loads(text)["knobs"]
    expected = {item.digest for item in load_responses(find_responses(folder))}
    assert {item["blake2b"] for item in knobs["responses"]} == expected
    assert str(folder) not in text + (tmp_path / "1" / "README.md").read_text()
    assert "one.arf + one.rmf" in (tmp_path / "1" / "README.md").read_text()


def test_every_number_of_a_file_counts(folder, tmp_path):
    digests = [only(folder).digest]
    changes = (
        {"matrix": [[(start, [0.18] * 5) for start, _ in row] for row in groups()]},
        {"area": AREA * (1.0 + 1e-3)},
        {"channels": CHANNELS + 0.001},
    )
    for number, change in enumerate(changes):
        place = tmp_path / str(number)
        place.mkdir()
        area, matrix, channels = (
            change.get(name, value)
            for name, value in (("area", AREA), ("matrix", groups()), ("channels", CHANNELS))
        )
        ogip_writer.write(place / "one.arf", ogip_writer.arf_hdu(area, ENERGIES))
        hdus = ogip_writer.matrix_hdu(matrix, edges=ENERGIES), ogip_writer.ebounds_hdu(channels)
        ogip_writer.write(place / "one.rmf", *hdus)
        digests.append(only(place).digest)
    assert len(set(digests)) == 4


def test_lists_name_pairs(folder, tmp_path):
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "list.txt").write_text("# mine\none.arf two.rmf\n\n two.arf one.rmf # swapped\n")
    assert find_responses(tmp_path / "list.txt") == (
        (str(tmp_path / "one.arf"), str(tmp_path / "two.rmf")),
        (str(tmp_path / "two.arf"), str(tmp_path / "one.rmf")),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one.arf", None),
        ("a b c", "line 1: write"),
        ("no.arf one.rmf", r"line 1: there is no .*no\.arf"),
        ("# nothing", "names no files"),
    ],
)
def test_lists_that_say_nothing_are_refused(folder, tmp_path, text, message):
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "list.txt").write_text(text)
    if message is None:
        with pytest.raises(ValueError, match=r"one\.arf"):
            load_responses(find_responses(tmp_path / "list.txt"))
    else:
        with pytest.raises(ValueError, match=message):
            find_responses(tmp_path / "list.txt")


def test_files_that_do_not_fit_are_named(tmp_path, capsys):
    out = ["--output", str(tmp_path / "set"), "--pairs", "20", "--set", "fits=false"]

    def message(place):
        assert main(["simulate", "--responses", str(place), *out]) == 2
        return capsys.readouterr().err

    assert "neither a folder nor a list" in message(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no .arf" in message(empty)
    write_pair(empty, "one")
    (empty / "one.rmf").unlink()
    assert "no RMF belongs to" in message(empty)
    hard = tmp_path / "hard"
    hard.mkdir()
    write_pair(hard, "nu", 1.0, CHANNELS + 3.0)
    assert "cover 3.2–11.6 keV" in message(hard)
    dark = tmp_path / "dark"
    dark.mkdir()
    write_pair(dark, "off", 0.0)
    assert "no effective area in a part of 0.5–8 keV" in message(dark)
    alone = tmp_path / "alone"
    alone.mkdir()
    write_pair(alone, "one")
    (alone / "one.arf").unlink()
    assert "no area folded in and no ARF beside it" in message(alone)
    assert main(["simulate", "--set", "responses=x", *out]) == 2
    assert "KNOB=VALUE" in capsys.readouterr().err


def test_chips_tell_the_array(tmp_path):
    for name, family in (("ACIS-7", "ACIS-S"), ("ACIS-23", "ACIS-I"), ("FPMA", "")):
        place = tmp_path / name
        place.mkdir()
        write_pair(place, "one", DETNAM=name)
        assert only(place).response.family == family


def test_chandras_own_files_see_what_the_tables_do(real_data):
    pairs = find_responses(real_data / "chandra_spectra")
    items = load_responses(pairs)
    assert len(items) == len(pairs) >= 9
    assert {item.response.family for item in items} == {"ACIS-S", "ACIS-I"}
    edges = instrument.PHOTON_EDGES
    photons = models.power_law(edges, 1.7) * models.phabs(edges, 0.1)
    for (arf, rmf), item in zip(sorted(pairs, key=lambda pair: only_of(pair).digest), items,
                                strict=True):  # fmt: skip
        response = item.response
        # By the package's own folding, on the file's own grid.
        matrix = read_rmf(rmf)
        own = models.power_law(matrix.energy_edges, 1.7) * models.phabs(matrix.energy_edges, 0.1)
        own[(matrix.energy_edges[1:] > 9.0) | (matrix.energy_edges[:-1] < 0.3)] = 0.0
        expected = matrix.fold(own, read_arf(arf))
        first = int(np.argmin(np.abs(matrix.channel_edges[:-1] - response.channel_edges[0])))
        expected = expected[first : first + len(response.background)]
        found = instrument.fold(photons[None], np.zeros(1, int), np.zeros(1), [response])[0]
        # A file's bins of 5 or 10 eV against ours: edges of the area are blurred a little.
        assert np.abs(found - expected).sum() < 4e-3 * expected.sum()
        assert 60.0 < instrument.typical_area(response) < 900.0
    typical = [instrument.typical_area(item) for item in instrument.load_epochs()]
    assert 250.0 < np.mean(typical) < 600.0


def only_of(pair):
    [item] = load_responses([pair])
    return item


def test_fits_of_spectra_through_real_files_find_the_truth(real_data):
    from specclip_datasets.simulation import spectral_fits

    folder = real_data / "chandra_spectra" / "csc_1575"
    [item] = load_responses(find_responses(folder))
    edges, responses = instrument.PHOTON_EDGES, [item.response]
    photons = models.power_law(edges, 1.8) * models.phabs(edges, 0.5)
    n, exposure = 24, 3e4
    zeros, theta = np.zeros(n, dtype=int), np.full(n, 2.0)
    rates = instrument.fold(np.tile(photons, (n, 1)), zeros, theta, responses)
    expected = rates * 3000.0 / rates.sum(axis=1, keepdims=True)
    behind = instrument.background_rates(zeros, theta, np.full(n, 3.0), responses) * exposure
    random = np.random.default_rng(5)
    found = spectral_fits.fit_columns(
        random.poisson(expected + behind), random.poisson(behind / 0.05), np.full(n, 0.05),
        np.full(n, exposure), zeros, theta, responses,
    )  # fmt: skip
    for name, truth in (("powlaw_gamma", 1.8), ("powlaw_nh", 50.0)):
        error = (found[f"{name}_hilim"] - found[f"{name}_lolim"]) / 2
        pull = (found[name] - truth) / error
        assert abs(pull.mean()) < 1.0
        assert pull.std() == pytest.approx(1.0, abs=0.4)

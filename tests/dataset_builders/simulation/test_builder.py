"""The simulated catalogue: physics, determinism, honesty."""

import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from simulated_truth import power_laws

from hf_specclip.models.variables_specclip import BANDS
from hf_specclip.spectra import emission as models
from hf_specclip.spectra.rebin import energy_grid
from specclip_datasets import DatasetFolderError, SimulatedCSC, read_dataset
from specclip_datasets.__main__ import main
from specclip_datasets.contract import SPLITS
from specclip_datasets.simulation import instrument, populations, prose, source_classes
from specclip_datasets.simulation.catalogue import Universe
from specclip_datasets.simulation.detections import at_the_time, source_names
from specclip_datasets.simulation.knobs import Knobs, text_stream
from specclip_datasets.simulation.rows import simulated_splits
from specclip_datasets.splits import count_sources_of_papers


def simulate(folder, *more):
    code = main(["simulate", "--pairs", "60", "--seed", "4", "--output", str(folder), *more])
    assert code == 0
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(
    tmp_path, capsys, monkeypatch
):
    # Batches small enough for a second process to have something to do.
    monkeypatch.setattr("specclip_datasets.simulation.rows.BATCH", 16)
    one = simulate(tmp_path / "one", "--processes", "1")
    two = simulate(tmp_path / "two", "--processes", "2")
    assert one == two
    assert "train" in capsys.readouterr().out
    files = (tmp_path / "one" / "data").glob("*.parquet")
    assert sum(pq.read_metadata(path).num_rows for path in files) == 60
    assert "**Simulated.**" in (tmp_path / "one" / "README.md").read_text()
    other = tmp_path / "other"
    assert main(["simulate", "--pairs", "60", "--seed", "5", "--output", str(other)]) == 0
    name = "data/train-00000-of-00001.parquet"
    assert (other / name).read_bytes() != one[name]


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("specclip_datasets.simulation.rows.BATCH", 8)
    universe, folder = Universe(Knobs(pairs=40, seed=1, fits=False)), tmp_path / "rows"
    with simulated_splits(universe, folder) as splits:
        next(iter(splits["train"].tables))
        with (
            pytest.raises(DatasetFolderError, match="another run"),
            simulated_splits(universe, folder),
        ):
            pass
    kept, *others = sorted(folder.glob("*.arrow"))
    made = kept.stat().st_mtime_ns
    for path in others:
        path.unlink()
    with simulated_splits(universe, folder) as splits:
        tables = [table for split in SPLITS for table in splits[split].tables]
    assert kept.stat().st_mtime_ns == made
    batches = [b for split in SPLITS for b in universe.batches(8) if b.split == split]
    expected = universe.rows(np.concatenate([batch.rows for batch in batches]))
    for name in ("source_name", "counts", "summary"):
        found = [value for table in tables for value in table[name].to_pylist()]
        assert found == expected[name].to_pylist()


@pytest.mark.slow
def test_an_interrupt_ends_every_process_with_one_sentence(tmp_path):
    words = ["simulate", "--config", "demo", "--pairs", "1000", "--output", str(tmp_path / "sky")]
    running = subprocess.Popen(
        [sys.executable, "-m", "specclip_datasets", *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    bar = running.stderr.read(len("\rsimulating"))  # its processes are still importing
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    _, said = running.communicate(timeout=60)
    assert (running.returncode, bar) == (130, "\nsimulating")
    assert said.endswith("error: stopped\n")
    assert "Traceback" not in said


def test_batches_hold_every_row_once_and_cut_no_source(universe):
    batches = universe.batches(50)
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows) == list(range(600))
    owners = [set(universe.detections.source[batch.rows]) for batch in batches]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert max(len(batch.rows) for batch in batches) < 60
    assert all((universe.splits[batch.rows] == batch.split).all() for batch in batches)


def test_the_command_line_teaches(tmp_path, capsys):
    (tmp_path / "note.txt").write_text("mine")
    assert main(["simulate", "--output", str(tmp_path), "--overwrite"]) == 2
    assert "something else" in capsys.readouterr().err
    out = str(tmp_path / "set")
    assert main(["simulate", "--set", "mood=1", "--output", out]) == 2
    assert "faintest_counts" in capsys.readouterr().err
    assert main(["simulate", "--pairs", "0", "--output", out]) == 2
    assert "at least one" in capsys.readouterr().err
    assert main(["simulate", "--set", "fits=maybe", "--output", out]) == 2
    assert "like 1.0" in capsys.readouterr().err
    assert main(["simulate", "--config", "custom", "--pairs", "20", "--set", "writers=talkative",
                 "--set", "fits=0", "--output", out]) == 0  # fmt: skip
    splits, info = read_dataset(out)
    assert info.knobs["writers"] == ["talkative"]
    assert set(splits["train"]["writer"]) == {"talkative"}
    assert info.knobs["fits"] == 0
    assert all(value is None for value in splits["train"]["powlaw_gamma"])
    assert info.simulated


def test_builder_gives_the_four_splits_and_keeps_settings_apart(tmp_path):
    small, other = (
        SimulatedCSC("custom", knobs=Knobs(pairs=pairs, fits=False), cache_dir=tmp_path)
        for pairs in (30, 31)
    )
    assert small.cache_dir != other.cache_dir
    for builder, pairs in ((small, 30), (other, 31)):
        builder.download_and_prepare()
        splits = builder.as_dataset()
        assert list(splits) == list(SPLITS)
        assert sum(len(part) for part in splits.values()) == pairs
    with pytest.raises(ValueError, match="demo"):
        SimulatedCSC("huge")


@pytest.mark.parametrize("pairs", [1, 7])
def test_small_universes_work(pairs):
    universe = Universe(Knobs(pairs=pairs, fits=False))
    assert len(universe.rows(np.arange(pairs))) == pairs


def test_no_split_cuts_what_belongs_together(universe):
    seen = universe.detections.source
    papers = [[paper.id for paper in universe.papers[source]] for source in seen]
    sources_of = count_sources_of_papers(universe.sources.names[seen], papers)
    assert max(sources_of.values()) > 20  # there are surveys
    where = {}
    for row, split in enumerate(universe.splits):
        field = universe.sources.field[seen[row]]
        keys = [("source", seen[row]), ("obsid", universe.detections.obsid[row]), ("host", field)]
        keys += [("paper", paper) for paper in papers[row] if sources_of[paper] <= 20]
        for key in keys:
            where.setdefault(key, set()).add(split)
    assert all(len(found) == 1 for found in where.values())
    assert set(universe.splits) == set(SPLITS)


def test_sources_share_observations_hosts_and_papers(universe):
    seen = universe.detections.source
    assert np.bincount(seen).max() > 1
    assert np.unique(universe.detections.obsid, return_counts=True)[1].max() > 1
    assert len(set(universe.groups)) < len(universe.sources.names)
    assert len(set(universe.sources.names)) == len(universe.sources.names)
    assert all(universe.papers)


def test_counts_are_poisson_around_the_folded_spectrum(universe):
    # Many draws of one detection, against its expectation.
    detection = np.zeros(400, dtype=int)
    seen = universe.detections.take(detection)
    observed = universe.observe(detection, np.arange(10_000, 10_400))
    counts, background, area = observed.counts, observed.background, observed.area
    total = counts.sum(axis=1)
    assert total.var(ddof=1) == pytest.approx(total.mean(), rel=0.3)
    spectra = universe.sources.spectra.take(seen.source[:1])
    photons = populations.photon_spectra(at_the_time(spectra, seen.hardening[:1]))
    flux = universe.sources.flux[seen.source[0]] * seen.flux_factor[0]
    edges = energy_grid()
    inside = (instrument.PHOTON_CENTRES > 0.8) & (instrument.PHOTON_CENTRES < 7.0)
    detected = photons[0, inside] * np.interp(
        instrument.PHOTON_CENTRES[inside], (edges[1:] + edges[:-1]) / 2, area[0]
    )
    bins = (edges[:-1] > 0.8) & (edges[1:] < 7.0)
    net = counts - background * seen.background_scale[:, None]
    # Redistribution moves a few per cent over the ends of the band.
    expected = flux * seen.exposure[0] * detected.sum()
    error = 3 * net[:, bins].sum(axis=1).std() / 20
    assert net[:, bins].sum(axis=1).mean() == pytest.approx(expected, abs=0.06 * expected + error)


def test_redistribution_keeps_photons_and_has_the_tabulated_width():
    for epoch in instrument.load_epochs():
        # Higher energies spread over the end of the channels.
        inside = (instrument.PHOTON_CENTRES > 0.5) & (instrument.PHOTON_CENTRES < 6.5)
        np.testing.assert_allclose(epoch.redistribution[inside].sum(axis=1), 1.0, atol=1e-6)
    epoch = instrument.load_epochs()[0]
    line = epoch.redistribution[np.argmin(np.abs(instrument.PHOTON_CENTRES - 6.0))]
    centres = (instrument.CHANNEL_EDGES[1:] + instrument.CHANNEL_EDGES[:-1]) / 2
    mean = (line * centres).sum()
    sigma = np.sqrt((line * (centres - mean) ** 2).sum())
    assert mean == pytest.approx(6.0, abs=0.01)
    assert sigma * 2.355 == pytest.approx(0.156, rel=0.02)  # aciss_2001.8 at 6 keV


def test_contamination_eats_soft_photons_with_time():
    families = np.array(["ACIS-S"] * 3)
    early, middle, late = instrument.nearest_epochs(families, np.array([2000.0, 2008.0, 2022.0]))
    area = instrument.effective_area(np.array([early, middle, late]), np.zeros(3), np.array([0.7]))
    assert area[0, 0] > area[1, 0] > area[2, 0]
    off_axis = instrument.vignetting(np.array([0.0, 10.0]), np.array([1.5, 6.4]))
    np.testing.assert_allclose(off_axis, [[1.0, 1.0], [0.82, 0.65]], atol=0.02)


def test_a_known_line_lands_where_it_should():
    photons = np.zeros((1, len(instrument.PHOTON_CENTRES)))
    photons[0, np.argmin(np.abs(instrument.PHOTON_CENTRES - 2.0))] = 1.0
    rate = instrument.fold(photons, np.array([0]), np.zeros(1))
    area = instrument.effective_area(np.array([0]), np.zeros(1), np.array([2.0]))[0, 0]
    assert rate.sum() == pytest.approx(area, rel=0.02)
    # 2 keV is in the channel that covers (c − 1)·14.6 eV to c·14.6 eV.
    assert abs(int(rate[0].argmax()) + 1 - int(np.ceil(2.0 / 0.0146))) <= 1


def test_catalogue_columns_are_what_the_counts_say(universe, rows):
    edges = energy_grid()
    centres = (edges[1:] + edges[:-1]) / 2
    row = int(np.argmax(rows["flux_significance_b"].to_numpy()))
    counts, background, area = (
        np.array(rows[name][row].as_py())
        for name in ("counts", "background_counts", "effective_area")
    )
    net = counts - background * rows["background_scale"][row].as_py()
    flux = {}
    for band in "smh":
        inside = (centres > BANDS[band][0]) & (centres < BANDS[band][1])
        flux[band] = net[inside].sum() / np.interp(instrument.MAP_ENERGIES[band], centres, area)
    expected = (flux["h"] - flux["s"]) / (flux["h"] + flux["s"])
    low, high = rows["hard_hs_lolim"][row].as_py(), rows["hard_hs_hilim"][row].as_py()
    assert rows["hard_hs"][row].as_py() == pytest.approx(expected, abs=0.2 * (high - low))
    for name in ("hard_hm", "hard_hs", "hard_ms"):
        value, low, high = (
            rows[column].to_numpy() for column in (name, f"{name}_lolim", f"{name}_hilim")
        )
        known = np.isfinite(value)
        assert known.mean() > 0.95
        assert (low[known] <= value[known]).all()
        assert (value[known] <= high[known]).all()
        assert np.abs(value[known]).max() <= 1.0
    # The catalogue compares observations of a source only where there are several.
    single = np.bincount(universe.detections.source)[universe.detections.source] == 1
    assert (np.isnan(rows["var_inter_prob_b"].to_numpy()) == single).all()
    index = rows["var_index_b"].to_numpy()
    assert set(index[np.isfinite(index)]) <= set(range(11))


def test_rows_do_not_depend_on_what_is_made_with_them(universe, rows):
    again = universe.rows(np.array([5, 17, 300]))
    for name in ("counts", "var_prob_b", "var_inter_prob_b", "summary"):
        assert again[name].to_pylist() == rows[name].take([5, 17, 300]).to_pylist()


def test_events_follow_the_light_curve(universe):
    """Times have the number of the counts, and a flare's shape where there is a flare."""
    flaring = np.flatnonzero(universe.detections.light.flare > 0)
    assert len(flaring)
    detection = flaring[np.argmax(universe.detections.light.flare[flaring])]
    seen = universe.detections.take(np.full(60, detection))
    observed = universe.observe(np.full(60, detection), np.arange(30_000, 30_060))
    edges = energy_grid()
    inside = (edges[:-1] >= 0.5) & (edges[1:] < 7.01)
    np.testing.assert_array_equal(
        observed.times.sum(axis=1), observed.counts[:, inside].sum(axis=1)
    )
    start = int(seen.light.flare_start[0] * 240)
    profile = observed.times.mean(axis=0)
    if 5 < start < 235:
        assert profile[start + 1 : start + 4].mean() > profile[:start].mean()


def test_names_cut_positions_and_stay_unique():
    ra, dec = np.array([10.6847083, 10.6847083, 359.99999]), np.array([41.26875, 41.26875, -0.5])
    names = source_names(ra, dec, np.array([False, False, True]))
    assert names[0] == "2CXO J004244.3+411607"
    assert names[1] != names[0]
    assert names[2] == "2CXO J235959.9-003000X"


def test_invented_hosts_are_outside_real_catalogues():
    names = prose.name_fields(["galaxy", "cluster"] * 300, text_stream(0, "test"))
    assert len(set(names)) == 600
    for name in names:
        catalogue, number = name.split()
        last = {"NGC": 7840, "IC": 5386, "UGC": 12921, "Abell": 4076, "MACS": 2400, "ZwCl": 9999}
        assert int(number) > last[catalogue]


def one_spectrum(**changes):
    return power_laws(**{"nh": 5.0, **changes})


def test_spectra_are_those_of_the_models():
    """Shortcuts of the simulation (tables, bin centres) against the models themselves."""
    edges, band = instrument.PHOTON_EDGES, np.s_[20:670]
    law, gas = models.power_law(edges, 1.8), partial(models.phabs, edges)
    disk = {"first": source_classes.DISK, "shape": 0.7, "nh": 0.3}
    brems = {"first": source_classes.BREMSSTRAHLUNG, "shape": 8.0, "nh": 0.3}
    far = {"redshift": 1.0, "galactic_nh": 0.1, "nh": 5.1}
    for changes, model in (
        ({"nh": 0.0}, law),
        ({}, law * gas(5.0)),
        (far, law * gas(5.0, redshift=1.0) * gas(0.1)),
        ({"covering": 0.6}, law * (0.6 * gas(5.0) + 0.4)),
        (disk, models.disk_black_body(edges, 0.7) * gas(0.3)),
        (brems, models.bremsstrahlung(edges, 8.0) * gas(0.3)),
    ):
        found = populations.photon_spectra(one_spectrum(**changes))[0]
        expected = model / model[band].sum()
        # As shares of the light in 0.1 keV: less than a count in a thousand, at the oxygen edge.
        difference = (found - expected)[:870].reshape(-1, 10).sum(axis=1)
        assert np.abs(difference).max() < 1e-3


def test_much_gas_lets_nothing_soft_through():
    thick = populations.photon_spectra(one_spectrum(nh=source_classes.MOST_ABSORBED))[0]
    assert thick[instrument.PHOTON_CENTRES < 3.0].sum() < 1e-6
    assert thick[20:670].sum() == pytest.approx(1.0)


def test_iron_lines_have_their_equivalent_width():
    plain = populations.photon_spectra(one_spectrum(redshift=0.1))[0]
    lined = populations.photon_spectra(one_spectrum(redshift=0.1, line=0.3))[0]
    place = int(np.argmax(lined / plain))
    assert instrument.PHOTON_CENTRES[place] == pytest.approx(6.4 / 1.1, abs=0.01)
    excess = lined[place] / lined[place - 1] - 1.0
    assert excess * 0.01 * 1.1 == pytest.approx(0.3, rel=0.02)


def test_knobs_are_checked():
    wrong = {"pairs": 0, "seed": -1, "writers": ("mute",), "faintest_counts": 0.0, "held_out": 0.5}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name):
            Knobs(**{name: value})
    shares = Knobs(held_out=0.02).fractions
    assert shares["test"] == 0.02
    assert sum(shares.values()) == pytest.approx(1.0)

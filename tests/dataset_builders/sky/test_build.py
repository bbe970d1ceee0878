"""From names to the contract's folder, over local services; killed, starved and refused."""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer
from worker import start_worker
from world import SURVEY, World

from dataset_builders.__main__ import main
from dataset_builders.contract import SPLITS
from dataset_builders.folder import read_dataset
from dataset_builders.sky.build import STAGES, Build, BuildError, Options, Selection, Services
from dataset_builders.sky.retry import Patience
from hf_specclip.spectra.rebin import deal_counts, detection_seed, energy_grid

TOKEN = "MARKED-build-token-2342"
QUICK = Patience(attempts=6, first_wait=0.01, longest_wait=0.05, read=5.0)
FAST = {f"{name}_per_second": 500.0 for name in ("csc", "archive", "simbad", "ads")}


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    with World(token=TOKEN) as running:
        yield running


def build(world, work, names=None, **options):
    options = {"kinds": ("spectrum", "arf"), "batch": 4, "workers": 2, "survey_limit": 5, **options}
    return Build(
        work,
        Selection(names=tuple(world.names if names is None else names)),
        Services(**world.services, patience=QUICK, **FAST),
        Options(**options),
    )


def digest(folder):
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def rows_of(folder, tmp_path):
    splits, info = read_dataset(folder, cache_dir=tmp_path / "cache")
    return [row for part in splits.values() for row in part], info


def test_names_become_a_dataset(world, tmp_path):
    output = tmp_path / "dataset"
    build(world, tmp_path / "work").run(STAGES, output)
    rows, info = rows_of(output, tmp_path)
    detections = {(r["name"], r["obsid"], r["region_id"]): r for r in world.sky.detections}
    assert {(r["source_name"], r["obsid"], r["region_id"]) for r in rows} == set(detections)
    assert info.builder == "csc"
    master = {row["name"]: (n, row) for n, row in enumerate(world.sky.master)}
    for row in rows:
        number, source = master[row["source_name"]]
        truth = detections[row["source_name"], row["obsid"], row["region_id"]]
        assert row["ra"] == source["ra"]
        assert row["exposure"] == 1e4
        assert row["source_class"] == ("LXB", "QSO", "CV*", "HXB")[number % 4]
        assert row["background_scale"] == pytest.approx(0.05)
        assert row["hard_hs"] == (
            None if truth["hard_hs"] is None else pytest.approx(truth["hard_hs"], rel=1e-6)
        )
        assert row["var_inter_prob_b"] == pytest.approx(source["var_inter_prob_b"], rel=1e-6)
        assert row["year"] == pytest.approx(2000 + (52000 + row["obsid"] - 51544.5) / 365.25)
        assert row["effective_area"][50] > 100
        assert {paper["id_type"] for paper in row["papers"]} == {"bibcode"}
        assert len(row["papers"]) == 2
        assert f"XYZ {1000 + number}" in row["summary"]["identity"]
        assert "photon index" in row["summary"]["spectrum"]
        assert SURVEY not in {paper["id"] for paper in row["papers"]}
    # Sources of one field stay together.
    field = {}
    for row in rows:
        assert field.setdefault(row["obsid"], row["group"]) == row["group"]
    assert len(set(field.values())) == 6
    card = (output / "README.md").read_text()
    assert "Of 12 names, 12 are sources" in card
    assert "Of 24 spectra asked for, 24 came" in card


def test_counts_are_dealt_with_the_catalogues_identity(world, tmp_path):
    build(world, tmp_path / "work").run(STAGES, tmp_path / "dataset")
    rows, _ = rows_of(tmp_path / "dataset", tmp_path)
    row = rows[0]
    detection = f"{row['obsid']}.{row['obi']}.{row['region_id']}"
    from hf_specclip.spectra import read_spectrum

    [path] = (tmp_path / "work" / "spectra").rglob(
        f"*{row['obsid']:05d}*_r{row['region_id']:04d}_pha3*"
    )
    spectrum = read_spectrum(path)
    seed = detection_seed(*map(int, detection.split(".")), row["source_name"])
    expected = deal_counts(spectrum.counts, spectrum.energy_edges, energy_grid(), seed)
    np.testing.assert_array_equal(row["counts"], expected)


def test_what_is_lost_on_the_way_is_told(world, tmp_path):
    first, second = world.sky.detections[0], world.sky.detections[2]
    key = f"{first['obsid']}.{first['obi']}.{first['region_id']}"
    del world.archive.files[key]
    world.csc.database.execute(
        "UPDATE csc21_observation_source SET sat_src_flag = 'TRUE' "
        "WHERE obsid = ? AND region_id = ?",
        (second["obsid"], second["region_id"]),
    )
    world.simbad.database.execute("DELETE FROM ident WHERE oidref = 105")
    world.simbad.database.execute("DELETE FROM basic WHERE oid = 105")
    made = build(world, tmp_path / "work", [*world.names, "2CXO J120000.0-890000"])
    made.run(STAGES, tmp_path / "dataset")
    rows, _ = rows_of(tmp_path / "dataset", tmp_path)
    assert len(rows) == 24 - 1 - 1 - 2
    text = made.account()
    assert "Of 13 names, 12 are sources" in text
    assert "Of 24 ACIS detections, 1 are masked (1 saturated)" in text
    assert "SIMBAD knows 11 of 12 sources; 11 have a summary" in text
    assert "Of 21 spectra asked for, 20 came, 1 are not in the archive and 0 failed" in text


def test_stages_run_alone_and_a_second_run_asks_nobody(world, tmp_path):
    build(world, tmp_path / "whole").run(STAGES, tmp_path / "a" / "one")
    for stage in STAGES:
        build(world, tmp_path / "parts").run([stage], tmp_path / "b" / "one")
    assert digest(tmp_path / "a" / "one") == digest(tmp_path / "b" / "one")
    asked = world.requests()
    build(world, tmp_path / "parts").run(STAGES, tmp_path / "b" / "one", overwrite=True)
    assert world.requests() == asked
    assert digest(tmp_path / "a" / "one") == digest(tmp_path / "b" / "one")
    fresh = build(world, tmp_path / "fresh")
    fresh.run(STAGES[:5], tmp_path / "c")
    with pytest.raises(BuildError, match="run the stage `counts` first"):
        fresh.run(("dataset",), tmp_path / "c")
    with pytest.raises(BuildError, match="are not among"):
        fresh.run(("name",), tmp_path / "c")
    with pytest.raises(BuildError, match="holds the work of another build"):
        build(world, tmp_path / "fresh", names=world.names[:3])


def test_a_tenth_of_failing_requests_changes_nothing(world, tmp_path):
    build(world, tmp_path / "calm").run(STAGES, tmp_path / "a" / "one")
    for server in world.servers:
        server.rate, server.slow = 0.3, 0.05
        server.requests.clear()
    build(world, tmp_path / "rough").run(STAGES, tmp_path / "b" / "one")
    assert digest(tmp_path / "a" / "one") == digest(tmp_path / "b" / "one")
    assert sum(sum(server.failures.values()) for server in world.servers) >= 4


CODE = """
from dataset_builders.sky.build import STAGES, Build, Options, Selection, Services
build = Build(
    {work!r},
    Selection(names=tuple({names!r})),
    Services(**{services!r}),
    Options(kinds=("spectrum", "arf"), batch=4, workers=2, survey_limit=5),
)
print("go", flush=True)
build.run(STAGES, {output!r}, overwrite=True)
print("done", flush=True)
"""


@pytest.mark.slow
def test_killed_in_every_stage_it_ends_with_the_same_bytes(world, tmp_path):
    build(world, tmp_path / "calm").run(STAGES, tmp_path / "a" / "one")
    calm = {id(server): len(server.requests) for server in world.servers}
    for server in world.servers:
        server.requests.clear()
        server.delay = 0.05
    world.archive.asked.clear()
    world.ads.asked.clear()
    output = tmp_path / "b" / "one"
    code = CODE.format(
        work=str(tmp_path / "rough"),
        names=world.names,
        services={**world.services, **FAST},
        output=str(output),
    )
    random = np.random.default_rng(7)
    kills, done = 0, False
    while not done:
        worker = start_worker(code)
        worker.stdout.readline()
        time.sleep(float(random.uniform(0.05, 1.5)))
        if kills < 20 and worker.poll() is None:
            worker.kill()
            kills += 1
            worker.wait()
        else:
            done = "done" in worker.communicate(timeout=120)[0]
    assert kills >= 5
    assert digest(output) == digest(tmp_path / "a" / "one")
    # In flight: two batches of four spectra, one question to each of the others.
    assert sum(world.archive.asked.values()) <= 24 + kills * 2 * 4
    for server in (world.csc, world.simbad, world.ads):
        # Every process asks a TAP service for its columns.
        assert len(server.requests) <= calm[id(server)] + 3 * kills


def test_the_command_forecasts_builds_and_shows_no_token(world, tmp_path, capfd):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["# sources", *world.names, "Nowhere Z-9"]))
    arguments = ["build", "--names", str(names), "--output", str(tmp_path / "one")]
    arguments += ["--kinds", "spectrum,arf", "--survey-limit", "5"]
    for name, url in world.services.items():
        arguments += [f"--{name.replace('_', '-')}", url]
    assert main([*arguments, "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "Of 13 names, 12 are sources" in said
    assert "24 detections, about 0.00 GB (40 kB each)" in said
    assert "25 that SIMBAD lists for 12 sources, 0 of them are there; about 25 requests" in said
    assert not world.archive.requests
    assert not world.ads.requests
    assert main(arguments) == 0
    # The forecast was an upper bound: 2 for each of 12 objects, one for papers ADS had not sent.
    assert len(world.ads.requests) <= 25
    shown = "".join(capfd.readouterr())
    rows, info = rows_of(tmp_path / "one", tmp_path)
    assert len(rows) == 24
    assert info.knobs["selection"] == {"names": 13}
    assert TOKEN not in shown + said
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    assert main(arguments) == 2
    assert "already holds a dataset" in capfd.readouterr().err


def test_a_model_writes_the_summaries(world, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-MARKED-for-the-build")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(world.names))
    arguments = ["build", "--names", str(names), "--output", str(tmp_path / "one")]
    arguments += ["--kinds", "spectrum,arf", "--survey-limit", "5", "--summariser", "openai"]
    arguments += ["--no-object-search"]
    arguments += [f"--{k.replace('_', '-')}={url}" for k, url in world.services.items()]
    with ChatServer() as chat:
        arguments += ["--llm-url", chat.base_url]
        assert main([*arguments, "--dry-run"]) == 0
        said = capfd.readouterr().out
        assert "12 questions, about" in said
        assert not chat.bodies
        assert main([*arguments, "--max-dollars", "0.0015"]) == 2
        assert "over the cap of $0.00" in capfd.readouterr().err
        assert 0 < len(chat.bodies) < 12
        assert main(arguments) == 0
        assert len(chat.bodies) == 12
    rows, info = rows_of(tmp_path / "one", tmp_path)
    assert info.knobs["summaries"].startswith("openai:gpt-4o-mini, prompt v1")
    assert {row["summary"]["context"] for row in rows} == {None}
    assert all("is an X-ray binary in the field" in row["summary"]["identity"] for row in rows)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-MARKED" not in path.read_bytes()


def test_the_command_stops_with_one_line(world, tmp_path, capfd, monkeypatch):
    output = ["--output", str(tmp_path / "one")]
    assert main(["build", *output]) == 2
    assert "say which sources" in capfd.readouterr().err
    monkeypatch.delenv("ADS_DEV_KEY")
    names = tmp_path / "names.txt"
    names.write_text(world.names[0])
    services = [f"--{k.replace('_', '-')}={url}" for k, url in world.services.items()]
    assert main(["build", "--names", str(names), *output, *services]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ADS needs a token")


def test_sources_by_class_and_by_question(world, tmp_path):
    services = Services(**world.services, patience=QUICK, **FAST)
    by_class = Build(tmp_path / "a", Selection(otype="LXB"), services)
    by_class.run(("names", "catalogue"), tmp_path / "x")
    assert "Of 6 ACIS detections" in by_class.account()
    question = "SELECT m.name AS name FROM csc21.master_source m WHERE m.dec > 0"
    north = sum(row["dec"] > 0 for row in world.sky.master)
    by_question = Build(tmp_path / "b", Selection(adql=question), services)
    by_question.run(("names", "catalogue"), tmp_path / "x")
    assert f"Of {north} names, {north} are sources" in by_question.account()


@pytest.mark.slow
def test_three_hundred_detections(monkeypatch, tmp_path):
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    with World(110, 3, observations=330, token=TOKEN) as world:
        build(world, tmp_path / "work", embedder="offline").run(STAGES, tmp_path / "dataset")
    rows, info = rows_of(tmp_path / "dataset", tmp_path)
    assert len(rows) == 330
    assert info.text_model == "offline"
    assert len({row["group"] for row in rows}) == 110
    assert all(len(row["text_embedding"]) == 3 * 384 for row in rows)
    content = json.loads((tmp_path / "dataset" / "specclip_dataset.json").read_text())
    assert all(content["rows"][split] > 0 for split in SPLITS)

"""Complete builds over local services."""

import shutil
from pathlib import Path

import pytest
from building import FAST, KEY, QUICK, TOKEN, build, built_world, digest, rows_of
from world import SURVEY, World

from specclip_datasets.__main__ import main
from specclip_datasets.sky.build import STAGES, Build
from specclip_datasets.sky.plan import forecast, sample
from specclip_datasets.sky.provenance import describe_outcomes, report_missing
from specclip_datasets.sky.settings import BuildError, Selection, Services


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setenv("ADS_DEV_KEY", TOKEN)
    with World(token=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A world, and the folder of its build (`work`, `dataset`)."""
    root = tmp_path_factory.mktemp("built")
    with built_world(root) as world:
        yield world, root


def test_build_from_names(built):
    world, root = built
    output = root / "dataset"
    rows, info = rows_of(output)
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
        assert row["aliases"]
        assert f"XYZ {1000 + number}" in row["summary"]["identity"]
        assert "photon index" in row["summary"]["spectrum"]
        assert SURVEY not in {paper["id"] for paper in row["papers"]}
    # Sources of a field are in the same group.
    field = {}
    for row in rows:
        assert field.setdefault(row["obsid"], row["group"]) == row["group"]
    assert len(set(field.values())) == 6
    card = (output / "README.md").read_text()
    assert "12 of 12 names are sources" in card
    assert "24 of 24 spectra were downloaded" in card


def test_absent_items_are_reported(world, tmp_path):
    first, second = world.sky.detections[0], world.sky.detections[2]
    key = f"{first['obsid']}.{first['obi']}.{first['region_id']}"
    del world.archive.files[key]
    world.csc.database.execute(
        "UPDATE csc21_observation_source SET sat_src_flag = 'T' WHERE obsid = ? AND region_id = ?",
        (second["obsid"], second["region_id"]),
    )
    world.simbad.database.execute("DELETE FROM ident WHERE oidref = 105")
    world.simbad.database.execute("DELETE FROM basic WHERE oid = 105")
    csc_build = build(world, tmp_path / "work", [*world.names, "2CXO J120000.0-890000"])
    csc_build.run(STAGES, tmp_path / "dataset")
    rows, _ = rows_of(tmp_path / "dataset")
    assert len(rows) == 24 - 1 - 1 - 2
    text = describe_outcomes(csc_build.store, csc_build.work)
    assert "12 of 13 names are sources" in text
    assert "1 of 24 ACIS detections are masked (1 saturated)" in text
    assert "11 of 12 sources are in SIMBAD; 11 have a summary" in text
    assert "20 of 21 spectra were downloaded; 1 are not in the archive, 0 failed" in text
    lost = (tmp_path / "work" / "lost.tsv").as_posix()
    lines = report_missing(csc_build.store, csc_build.work).splitlines()
    assert lines[0] == f"Failed or absent items (all are in {lost}):"
    assert f"  spectra, absent: {key}: no spectrum in the archive" in lines
    assert "  names, absent: 2CXO J120000.0-890000: no source of this name" in "\n".join(lines)
    stages = [line.split("\t")[0] for line in Path(lost).read_text().splitlines()[1:]]
    assert stages == ["names", "simbad", "spectra"]


def test_separate_stages_are_identical_and_not_repeated(built, keys, tmp_path):
    world, root = built
    for stage in STAGES:
        build(world, tmp_path / "parts").run([stage], tmp_path / "b" / "dataset")
    assert digest(root / "dataset") == digest(tmp_path / "b" / "dataset")
    asked = world.requests()
    build(world, tmp_path / "parts").run(STAGES, tmp_path / "b" / "dataset", overwrite=True)
    assert world.requests() == asked
    assert digest(root / "dataset") == digest(tmp_path / "b" / "dataset")


def test_invalid_stages_are_refused(built, keys, tmp_path):
    world, root = built
    shutil.copytree(root / "work", tmp_path / "work")
    csc_build = build(world, tmp_path / "work")
    csc_build.store.remove("counts")
    with pytest.raises(BuildError, match="run the stage `counts` first"):
        csc_build.run(("dataset",), tmp_path / "c")
    with pytest.raises(BuildError, match="are not among"):
        csc_build.run(("name",), tmp_path / "c")
    with pytest.raises(BuildError, match="belongs to another build"):
        build(world, tmp_path / "work", names=world.names[:3])
    shutil.copytree(root / "dataset", tmp_path / "dataset")
    for path in (tmp_path / "dataset" / "data").glob("train-*"):
        path.unlink()
    build(world, tmp_path / "work").run(STAGES, tmp_path / "dataset", overwrite=True)
    assert digest(tmp_path / "dataset") == digest(root / "dataset")


def test_other_summariser_starts_again(built, keys, tmp_path):
    world, root = built
    shutil.copytree(root / "work", tmp_path / "work")
    options = {"embedder": "openai", "embedder_url": world.vectors.base_url}
    build(world, tmp_path / "work", **options).run(["embeddings"], tmp_path)
    csc_build = build(world, tmp_path / "work", model=True, model_batches=True, **options)
    sample(csc_build, requests=2)
    plan = forecast(csc_build)
    assert (len(world.chat.bodies), plan.summaries.requests, plan.texts) == (2, 10, 12)
    csc_build.run(["summaries"], tmp_path)
    assert len(world.chat.batches) == 1
    alone = [r for r in world.chat.requests if r.path.endswith("/chat/completions")]
    assert len(alone) == 2


def test_command_dry_run_and_build(world, tmp_path, capfd):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["# sources", *world.names, "Nowhere Z-9"]))
    arguments = ["build", "--names", str(names), "--output", str(tmp_path / "one")]
    arguments += ["--kinds", "spectrum,arf", "--survey-limit", "5", *world.arguments]
    assert main([*arguments, "--dry-run"]) == 0
    text_output = capfd.readouterr().out
    assert "12 of 13 names are sources" in text_output
    # One batch was downloaded as a sample.
    assert "spectra: 4 detections to download, about " in text_output
    assert len([r for r in world.archive.requests if r.path.endswith("retrieve")]) == 1
    assert main(arguments) == 0
    capfd.readouterr()
    rows, info = rows_of(tmp_path / "one")
    assert len(rows) == 24
    assert info.knobs["selection"] == {"names": 13}
    assert main(arguments) == 2
    assert "already holds a dataset" in capfd.readouterr().err


def test_command_with_language_model(world, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    names = tmp_path / "names.txt"
    names.write_text("\n".join(world.names))
    arguments = ["build", "--names", str(names), "--output", str(tmp_path / "one")]
    arguments += ["--kinds", "spectrum,arf", "--survey-limit", "5", "--summariser", "openai"]
    arguments += ["--no-object-search", "--embedder", "openai", *world.arguments]
    arguments += ["--llm-url", world.chat.base_url, "--embedder-url", world.vectors.base_url]
    assert main([*arguments, "--dry-run"]) == 0
    text_output = capfd.readouterr().out
    assert "12 requests, about" in text_output
    assert not world.chat.bodies
    assert main([*arguments, "--max-dollars", "0.003"]) == 2
    assert "exceed the cost limit of $0.00" in capfd.readouterr().err
    assert 0 < len(world.chat.bodies) < 12
    assert main(arguments) == 0
    assert len(world.chat.bodies) == 12
    rows, info = rows_of(tmp_path / "one")
    assert info.knobs["summaries"].startswith("openai:gpt-4o-mini, http://127.0.0.1")
    assert info.text_model.startswith("openai:text-embedding-ada-002@http://127.0.0.1")
    assert all("is an X-ray binary in the field" in row["summary"]["identity"] for row in rows)


def test_command_errors(world, tmp_path, capfd, monkeypatch):
    output = ["--output", str(tmp_path / "one")]
    for limits in ([], ["--min-counts", "20"]):
        assert main(["build", *limits, *output]) == 2
        assert "no sources selected" in capfd.readouterr().err
    assert main(["build", "--cone", "10", "41", "1", "--kinds", "arf", *output]) == 2
    assert "must include spectrum" in capfd.readouterr().err
    assert main(["build", "--names", str(tmp_path / "nowhere.txt"), *output]) == 2
    assert "nowhere.txt" in capfd.readouterr().err
    monkeypatch.delenv("ADS_DEV_KEY")
    names = tmp_path / "names.txt"
    names.write_text(world.names[0])
    assert main(["build", "--names", str(names), *output, *world.arguments]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: no ADS token")


def test_selection_by_class_and_adql(world, tmp_path):
    services = Services(**world.services, retry_policy=QUICK, **FAST)
    by_class = Build(tmp_path / "a", Selection(otype="LXB"), services)
    by_class.run(("names", "catalogue"), tmp_path / "x")
    assert "of 6 ACIS detections" in describe_outcomes(by_class.store, by_class.work)
    adql = "SELECT m.name AS name FROM csc21.master_source m WHERE m.dec > 0"
    north = sum(row["dec"] > 0 for row in world.sky.master)
    by_adql = Build(tmp_path / "b", Selection(adql=adql), services)
    by_adql.run(("names", "catalogue"), tmp_path / "x")
    assert f"{north} of {north} names are sources" in describe_outcomes(by_adql.store, by_adql.work)

"""The commands that ask a trained model."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from chandra_pha import CHANNELS, write_pha, write_spectra
from forks import run_forked

from hf_specclip import SpecCLIPIndex
from hf_specclip.cli.main import main


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [str(path) for path in write_spectra(tmp_path_factory.mktemp("files"))]


@pytest.fixture
def ask(tiny_run, capsys):
    """Runs a command with the tiny run's model; gives its exit status, output and errors."""

    def run(command, *words, model=str(tiny_run)):
        status = main([command, *(["--model", model] if model else []), *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def answer(ask):
    """Runs a command that succeeds; gives what it prints as JSON."""

    def run(command, *words, **more):
        status, out, said = ask(command, *words, "--json", **more)
        assert status == 0, said
        return json.loads(out)

    return run


def test_every_format_holds_the_same_values(ask, answer, files, tmp_path):
    found = answer("describe", *files)
    assert [one["file"] for one in found] == files
    for kind in ("ecsv", "votable"):
        path = tmp_path / f"out.{kind}"
        assert ask("describe", "--format", kind, "-o", path, *files)[0] == 0
        table = Table.read(path, format="ascii.ecsv" if kind == "ecsv" else "votable")
        assert list(table["file"]) == files
        assert table["exposure"].unit == "s"
        assert "var_sigma_b" not in table.colnames
        best = [next(iter(one["classes"])) for one in found]
        assert list(table["class"]) == best
        values = [v["value"] for one in found for v in one["variables"] if v["name"] == "hard_hs"]
        np.testing.assert_allclose(table["hard_hs"], values, rtol=1e-4)
    status, out, _ = ask("describe", *files)
    assert status == 0
    for one in found:
        assert one["literature"][0]["source_names"][0] in out
    assert ask("describe", "--format", "html", "-o", tmp_path / "out.html", *files)[0] == 0
    assert (tmp_path / "out.html").read_text().count("<svg") == 3
    assert ask("describe", "--format", "json", "-o", tmp_path / "out.json", *files)[0] == 0
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


def test_plots_are_drawn_for_each(ask, files, tmp_path):
    assert ask("describe", "--plot", tmp_path / "plot.png", *files[:2])[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"plot.png", "plot_2.png"}


def test_a_bad_file_is_reported_and_the_others_go_on(ask, files, tmp_path):
    bad = tmp_path / "bad.pha"
    bad.write_text("no spectrum")
    for command in ("describe", "classify", "outliers"):
        status, out, err = ask(command, "--json", files[0], bad, tmp_path / "absent.pha", files[1])
        assert status == 1
        assert {one["file"] for one in json.loads(out)} == {files[0], files[1]}
        assert "bad.pha" in err
        assert "absent.pha" in err
    page = ("describe", "--format", "html", "-o")
    assert ask(*page, tmp_path / "report.html", files[0], bad)[0] == 1
    assert (tmp_path / "report.html").is_file()
    assert ask(*page, tmp_path / "none.html", bad)[0] == 1
    assert not (tmp_path / "none.html").exists()


def test_a_name_in_place_of_a_file(answer, tiny_run):
    entry = SpecCLIPIndex.from_pretrained(tiny_run / "model").spectra.entries[5]
    name = entry["source_name"]
    [found] = answer("describe", name.lower().replace(" ", ""))
    assert found["similar"][0]["name"] == name


def test_classes_named_by_the_user(ask, answer, files):
    [found] = answer("classify", "--classes", "LMXB, a hot star", files[0])
    assert set(found["classes"]) == {"LMXB", "a hot star"}
    status, out, _ = ask("classify", files[0])
    assert status == 0
    assert len(out.rstrip().split("\t")) in (4, 5)  # file, three families, perhaps a caveat


def test_outliers_are_sorted_by_score(answer, files):
    found = answer("outliers", *files)
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= one["percentile"] <= 100 for one in found)
    some = answer("outliers", "--above", "100", *files)
    assert all(one["percentile"] >= 100 for one in some)


def test_every_command_withholds_what_the_instrument_rules_out(ask, answer, files, tmp_path):
    """HETG behind the same camera, and HRC: no classes, no scores, no word left out."""
    header = {"DETCHANS": 8192, "GRATING": "HETG", "TG_M": 1, "TG_PART": 2}
    dispersed = write_pha(tmp_path / "meg.pha", np.full(CHANNELS, 1), **header)
    wavelengths = 12.39842 / np.linspace(0.4, 9.0, CHANNELS + 1)
    bins = {"BIN_LO": wavelengths[1:], "BIN_HI": wavelengths[:-1]}
    with fits.open(dispersed, "update") as hdus:
        columns = [fits.Column(name, "D", array=values) for name, values in bins.items()]
        columns = hdus[1].columns + fits.ColDefs(columns)
        hdus[1] = fits.BinTableHDU.from_columns(columns, header=hdus[1].header)
    hrc = write_pha(tmp_path / "hrc.pha", np.full(CHANNELS, 1), INSTRUME="HRC", DETNAM="HRC-I")
    [good, *_] = files
    [found] = answer("describe", dispersed)
    assert (found["classes"], found["variables"], found["outlier"]) == ({}, [], None)
    assert "MEG +1" in found["limitations"][0]["text"]
    assert "dispersed spectrum" in ask("describe", dispersed)[1].split("measured")[0]
    found = answer("classify", good, dispersed)
    assert [each["withheld"] is None for each in found] == [True, False]
    assert "withheld: dispersed spectrum" in ask("classify", dispersed)[1]
    found = answer("outliers", good, dispersed)
    assert [each["score"] is None for each in found] == [False, True]
    assert "specclip fit" in ask("outliers", dispersed)[1]
    table = tmp_path / "out.ecsv"
    status, _, said = ask("embed", good, dispersed, hrc, "-o", table)
    assert status == 1
    assert "hrc.pha" in said
    limits = list(Table.read(table)["limitations"])
    assert [bool(text) for text in limits] == [False, True]
    for command in ("describe", "classify", "outliers"):
        status, _, said = ask(command, hrc)
        assert status == 1
        assert "hrc.pha" in said
        assert "has no energy resolution" in said


def test_search(ask, answer, tiny_run, tmp_path):
    quasars = answer("search", "--top", "3", "a", "quasar")
    assert [hit["rank"] for hit in quasars["hits"]] == [1, 2, 3]
    assert quasars["question"]["kinds"] == ["quasar"]
    assert "class: quasar" in ask("search", "a quasar")[1]
    assert answer("search", "--kind", "papers", "a quasar")["hits"][0]["papers"]
    found = answer("search", "--class", "LMXB", "--where", "counts>200", "binary star")["hits"]
    assert {one["source_class"] for one in found} == {"LMXB"}
    assert min(each["counts"] for one in found for each in one["observations"]) >= 200
    status, out, _ = ask("search", "marmalade")
    assert status == 1
    assert "not understood: marmalade" in out
    assert "not a condition" in ask("search", "--where", "counts=3", "a star")[2]
    name = found[0]["name"]
    near = answer("search", "--like", name)
    assert name not in {one["name"] for one in near}
    cone = [str(found[0]["ra"]), str(found[0]["dec"]), "0.1"]
    assert name in ask("search", "--cone", *cone, "LMXB")[1]
    assert "no results match" in ask("search", "--class", "none", "a star")[1]
    assert ask("search")[0] == 1
    moved = shutil.copytree(tiny_run.with_name("encoder"), tmp_path / "renamed")
    assert answer("search", "--top", "3", "--embedder", f"local:{moved}", "a quasar") == quasars
    status, _, error = ask("search", "--embedder", "offline", "a quasar")
    assert status == 1
    assert "not by 'all-MiniLM-L6-v2@" in error
    assert "--embedder local:DIR" in error
    assert ask("search", "--like", "2CXO J000000.0+000000")[0] == 1


def test_the_model_comes_from_the_environment_or_the_package(ask, files, tiny_run, monkeypatch):
    monkeypatch.delenv("SPECCLIP_MODEL", raising=False)
    status, out, _ = ask("describe", files[0], model=None)
    assert status == 0
    assert "bundled model" in out
    monkeypatch.setenv("SPECCLIP_MODEL", str(tiny_run))
    status, out, _ = ask("describe", files[0], model=None)
    assert status == 0
    assert "bundled model" not in out


def test_an_index_is_built_as_training_built_it(answer, tiny_run, tmp_path):
    words = ("--model", tiny_run, "--dataset", tiny_run / "dataset", "-o", tmp_path / "index")
    answer("index", "build", *words, model=None)
    made = SpecCLIPIndex.load(tmp_path / "index")
    trained = SpecCLIPIndex.from_pretrained(tiny_run / "model")
    assert {entry["id"] for entry in made.entries} == {entry["id"] for entry in trained.entries}
    places = {entry["id"]: place for place, entry in enumerate(made.spectra.entries)}
    assert places.keys() == {entry["id"] for entry in trained.spectra.entries}
    for place, entry in enumerate(trained.spectra.entries):
        own = places[entry["id"]]
        assert made.spectra.entries[own] == entry
        np.testing.assert_allclose(
            made.spectra.embeddings[own], trained.spectra.embeddings[place], atol=1e-5
        )
        np.testing.assert_array_equal(
            made.spectra.columns["counts"][own], trained.spectra.columns["counts"][place]
        )
    texts = {entry["id"]: place for place, entry in enumerate(made.entries)}
    for place, entry in enumerate(trained.entries):
        own = texts[entry["id"]]
        assert {**made.entries[own], "source_names": 0, "papers": 0} == {
            **entry, "source_names": 0, "papers": 0
        }  # fmt: skip
        np.testing.assert_allclose(made.embeddings[own], trained.embeddings[place], atol=1e-5)
    assert made.about["simulated"] is True


def test_spectra_are_added_once(answer, files, tiny_run, tmp_path):
    shutil.copytree(tiny_run / "model" / "gallery", tmp_path / "index")
    before = len(SpecCLIPIndex.load(tmp_path / "index").spectra)
    words = ("index", "add", "--model", tiny_run, tmp_path / "index", *files)
    assert answer(*words, model=None)["added"] == 3
    again = answer(*words, model=None)
    assert (again["added"], len(again["left"])) == (0, 3)
    index = SpecCLIPIndex.load(tmp_path / "index")
    assert len(index.spectra) == before + 3
    assert np.isfinite(index.spectra.columns["map"]).all()
    [found] = answer("describe", "--index", tmp_path / "index", files[1])
    assert found["similar"][0]["id"] == "1.pha"
    assert found["similar"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_file_names_that_are_no_text_enter_texts_and_indexes_as_text(
    ask, files, tiny_run, tmp_path
):
    shutil.copytree(tiny_run / "model" / "gallery", tmp_path / "index")
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x1b[31m.pha")
    shutil.copy(files[0], name)
    assert ask("describe", "--only", "similar", "-o", tmp_path / "out.txt", name)[0] == 0
    assert "caf\\udce9\\u001b[31m.pha\n" in (tmp_path / "out.txt").read_text()
    words = ("index", "add", "--model", tiny_run, tmp_path / "index", name)
    assert ask(*words, model=None)[0] == 0
    added = SpecCLIPIndex.load(tmp_path / "index").spectra.entries[-1]
    assert added["id"] == "caf\\udce9\\u001b[31m.pha"


def test_spectra_that_two_processes_add_at_once_are_all_kept(files, tiny_run, tmp_path):
    shutil.copytree(tiny_run / "model" / "gallery", tmp_path / "index")

    def add():
        torch.set_num_threads(1)
        own = files[int(os.environ["RANK"])]
        return main(["index", "add", "--model", str(tiny_run), str(tmp_path / "index"), own])

    assert run_forked(add, processes=2) == [0, 0]
    entries = SpecCLIPIndex.load(tmp_path / "index").spectra.entries
    assert {"0.pha", "1.pha"} <= {entry["id"] for entry in entries}


def test_index_info(ask, answer, tiny_run):
    found = answer("index", "info", tiny_run, model=None)
    assert found["spectra"] == sum(found["splits"].values()) == sum(found["classes"].values())
    status, out, _ = ask("index", "info", tiny_run / "model" / "gallery", model=None)
    assert status == 0
    assert f"{found['spectra']:,}" in out


@pytest.mark.parametrize(
    "command", ["describe", "classify", "search", "outliers", "index", "embed", "inspect", "fit"]
)
def test_help_shows_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"specclip {command}" in capsys.readouterr().out

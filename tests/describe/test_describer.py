"""Descriptions of spectra by a small trained run, and their renderings."""

import dataclasses
import io
import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from chandra_pha import write_pha, write_spectra

from hf_specclip import (
    Describer,
    OutlierRows,
    SpecCLIPFeatureExtractor,
    SpecCLIPIndex,
    SpecCLIPModel,
    SpecCLIPMoEForRegression,
    SpecCLIPOutlierDetector,
    XRaySpectrum,
    read_spectrum,
)
from hf_specclip.describe.html import render_page
from hf_specclip.spectra.fitting.result import FitResult, FittedParameter, ModelFit


@pytest.fixture(scope="module")
def describer(tiny_run):
    return Describer.from_pretrained(tiny_run)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_spectra(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def description(describer, files):
    return describer.describe(files[0])


def test_each_section_equals_the_answer_of_its_class(description, tiny_run, files):
    model = SpecCLIPModel.from_pretrained(tiny_run / "model").eval()
    extractor = SpecCLIPFeatureExtractor.from_pretrained(tiny_run / "model")
    inputs = extractor(files[0], return_tensors="pt")
    with torch.no_grad():
        point = model.get_spectrum_features(**inputs).pooler_output
    index = SpecCLIPIndex.from_pretrained(tiny_run / "model")
    assert [hit.id for hit in description.literature] == [
        hit.entry["id"] for hit in index.search(point, 5)[0]
    ]
    nearest = index.search(point, 5, kind="spectra")[0]
    assert description.similar[0].id == nearest[0].entry["id"]
    assert len({hit.name for hit in description.similar}) == len(description.similar) >= 5
    moe = SpecCLIPMoEForRegression.from_pretrained(tiny_run / "moe")
    expected = moe.predict(model, [read_spectrum(files[0])])
    places = {name: place for place, name in enumerate(moe.config.variables)}
    assert description.variables
    for variable in description.variables:
        place = places[variable.name]
        assert variable.value == pytest.approx(expected.predictions[0, place].item(), rel=1e-5)
        assert variable.lower_68 == pytest.approx(expected.lower_68[0, place].item(), rel=1e-5)
        assert variable.lower_90 <= variable.lower_68 <= variable.upper_68 <= variable.upper_90
    detector = SpecCLIPOutlierDetector.from_pretrained(tiny_run)
    scores = detector.score(OutlierRows(spectrum=point.numpy()))
    assert description.outlier.score == pytest.approx(
        scores.raw["spectrum_neighbours"][0], abs=1e-6
    )
    assert description.outlier.percentile == pytest.approx(
        scores.percentile("spectrum_neighbours")[0]
    )
    assert sum(description.classes.values()) == pytest.approx(1)
    assert list(description.classes.values()) == sorted(description.classes.values(), reverse=True)


def test_run_and_model_folder_give_the_same_description(describer, tiny_run, files):
    other = Describer.from_pretrained(tiny_run / "model")
    assert other.moe is not None
    assert other.outliers is not None
    one, two = describer.describe(files[1]).to_dict(), other.describe(files[1]).to_dict()
    assert one.pop("model") != two.pop("model")
    assert one == two


def test_path_spectrum_and_columns_give_the_same_description(describer, files):
    spectrum = read_spectrum(files[2])
    row = spectrum.rebinned()
    memory = dataclasses.replace(describer.describe(spectrum), file=None)
    for other in (str(files[2]), row):
        description = describer.describe(other)
        assert [hit.id for hit in description.similar] == [hit.id for hit in memory.similar]
        assert description.variables[0].value == pytest.approx(memory.variables[0].value, rel=1e-5)
        assert description.source["counts_0.5_8kev"] == memory.source["counts_0.5_8kev"]
        assert description.outlier.percentile == memory.outlier.percentile


def test_batches_equal_single_descriptions(describer, files):
    alone = [describer.describe(file).to_dict() for file in files]
    together = [one.to_dict() for one in describer.describe_many(files, batch_size=2)]
    for one, other in zip(alone, together, strict=True):
        assert one["literature"] == other["literature"]
        assert one["file"] == other["file"]
        for a, b in zip(one["variables"], other["variables"], strict=True):
            assert a["value"] == pytest.approx(b["value"], rel=1e-4)
    assert list(describer.describe_many([])) == []


def test_a_source_of_the_index_is_described_by_name(describer):
    entry = describer.index.spectra.entries[7]
    description = describer.describe(entry["source_name"])
    assert description.title == entry["source_name"]
    assert description.similar[0].name == entry["source_name"]
    assert description.similar[0].score == pytest.approx(1, abs=1e-3)
    place = describer.index.find(entry["source_name"])[0]
    brightest = describer.index.spectra.entries[place]
    assert description.source["counts_0.5_8kev"] == brightest["counts"]
    assert description.source["exposure_s"] == pytest.approx(brightest["exposure"])
    # Its own group is not among its neighbours, or no source of the catalogue would be odd.
    assert description.outlier.score > 1e-4


def test_map_positions(describer, description):
    points = describer.map_points()
    n = len(describer.index.spectra)
    assert points["positions"].shape == (n, 2)
    assert len(points["names"]) == len(points["classes"]) == n
    assert np.isfinite(points["positions"]).all()
    assert points["positions"].std(axis=0).min() > 0
    low, high = points["positions"].min(axis=0), points["positions"].max(axis=0)
    assert (np.array(description.map_position) >= low).all()
    assert (np.array(description.map_position) <= high).all()
    name = points["names"][3]
    spectrum = describer.catalogue_spectrum(points["ids"][3])
    assert isinstance(spectrum, XRaySpectrum)
    assert int(spectrum.counts.sum()) == describer.index.spectra.entries[3]["counts"]
    # The place of a source of the catalogue is near its own place, compared with the map's width.
    at = points["ids"].index(describer.index.spectra.entries[describer.index.find(name)[0]]["id"])
    apart = np.linalg.norm(
        np.array(describer.describe(name).map_position) - points["positions"][at]
    )
    assert apart < 0.2 * np.linalg.norm(high - low)


def test_classes_named_by_the_user(describer, files):
    [shares] = describer.classify([files[0]], classes=["LMXB", "an exploding star"])
    assert set(shares) == {"LMXB", "an exploding star"}
    assert sum(shares.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="name two or more"):
        describer.classify([files[0]], classes=[])


def test_json_and_text(description):
    text = json.dumps(description.to_dict(), allow_nan=False)
    again = json.loads(text)
    assert again["literature"][0]["papers"][0]["title"]
    assert again["variables"][0]["unit"] == ""
    assert "spectrum" not in again
    words = str(description)
    parts = ("net counts", "inferred", "class", "outlier", "similar sources", "literature")
    places = [words.index(part) for part in parts]
    assert places == sorted(places)  # measured, then inferred, then similar
    names = {variable["name"] for variable in again["variables"]}
    assert not any(name.startswith("var_") for name in names)
    assert "arrival times" in again["withheld"]["var_prob_b"]
    assert "not inferred: var_prob_b" in words
    assert "simulated" in words  # the model's papers are invented, and it says so


def test_the_fit_stands_beside_the_prediction(description):
    pytest.importorskip("matplotlib")
    parameters = {"gamma": FittedParameter(1.71, 1.6, 1.82), "nh": FittedParameter(0.0, None, 3.0)}
    fit = ModelFit("powlaw", parameters, 30.0, 25, converged=True)
    inferred = dataclasses.replace(description.variables[0], name="powlaw_gamma")
    described = dataclasses.replace(description, variables=(inferred,))
    described.__dict__["fit"] = FitResult(300.0, 28, "chi2datavar", (0.5, 7.0), {"powlaw": fit})
    line = next(line for line in str(described).splitlines() if "powlaw_gamma" in line)
    assert line.endswith("fit 1.71 (1.6 – 1.82)")
    assert "<td>1.71 (1.6 – 1.82)</td>" in described.to_html()


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = set(), set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            assert not name.startswith("on"), name
            if name in ("href", "src"):
                self.links.add(value)


def test_a_page_escapes_markup_of_files_and_indexes(description):
    evil = "<script>alert(1)</script>"
    hit = description.literature[0]
    paper = dataclasses.replace(hit.papers[0], title=evil, id=evil, link=f"javascript:{evil}")
    similar = dataclasses.replace(description.similar[0], name=evil, source_class=evil)
    hostile = dataclasses.replace(
        description,
        file=f"{evil}.pha",
        source={**description.source, "source_name": evil},
        literature=(dataclasses.replace(hit, papers=(paper,), source_names=(evil,)),),
        similar=(similar,),
        classes={evil: 1.0},
        notes=(evil,),
    )
    html = render_page([hostile, description], title=evil)
    parser = _Tags()
    parser.feed(html)
    assert "script" not in parser.tags
    assert "svg" in parser.tags
    assert all(link.startswith(("#", "https://")) for link in parser.links)
    assert evil not in html


def test_absent_parts_are_left_out(tiny_run, tmp_path, files):
    keep = shutil.ignore_patterns("gallery", "zero_shot", "*.py")
    shutil.copytree(tiny_run / "model", tmp_path / "model", ignore=keep)
    bare = Describer.from_pretrained(tmp_path / "model")
    description = bare.describe(files[0])
    for part in ("literature", "similar", "classes", "variables", "outlier"):
        assert not getattr(description, part), part
    assert "net counts" in str(description)
    json.dumps(description.to_dict(), allow_nan=False)
    table = io.StringIO()
    description.to_table().write(table, format="ascii.ecsv")
    with pytest.raises(ValueError, match="no gallery/"):
        bare.search("a star")
    with pytest.raises(ValueError, match="has no classes"):
        bare.classify([files[0]])
    named = Describer.from_pretrained(
        tmp_path / "model", moe=tiny_run, outliers=tiny_run, index=tiny_run / "model"
    )
    description = named.describe(files[0])
    assert description.variables
    assert description.outlier is not None
    assert description.literature


def test_bad_input_is_named(describer, tmp_path):
    broken = tmp_path / "broken.pha"
    broken.write_bytes(b"SIMPLE  =                    T")
    with pytest.raises((ValueError, OSError), match=r"broken\.pha"):
        describer.describe(broken)
    with pytest.raises(FileNotFoundError, match="no source of that name"):
        describer.describe(tmp_path / "absent.pha")
    with pytest.raises(ValueError, match="cannot describe a int"):
        describer.describe(3)
    with pytest.raises(ValueError, match="'exposure'"):
        describer.describe({"counts": np.ones(400, int)})
    with pytest.raises(ValueError, match="top_k"):
        describer.describe({"counts": np.ones(400, int), "exposure": 1.0}, top_k=0)
    with pytest.raises(ValueError, match="there is no folder"):
        Describer.from_pretrained("./nowhere")
    with pytest.raises(ValueError, match="no part 'moo'"):
        Describer.from_pretrained(tmp_path, parts=["moo"])


def test_answers_in_python_are_withheld_alike(describer, files):
    spectrum = read_spectrum(files[0])
    other = spectrum.replace(telescope="XMM", instrument="EPN", detector=None)
    first, second = describer.classify([spectrum, other])
    assert first
    assert second == {}
    assert "XMM EPN" in describer.reasons_to_withhold(other)["classes"]
    points, variables = describer.embed_with_variables([spectrum, other])
    assert np.isfinite(points).all()
    assert np.isfinite(variables["hard_hs"]).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"0\.pha: CHANDRA HRC has no energy resolution"):
        describer.embed([spectrum.replace(instrument="HRC")])


def test_few_counts_and_a_missing_background_are_noted(describer):
    description = describer.describe({"counts": np.eye(400, dtype=int)[5] * 3, "exposure": 1e4})
    assert "3 net counts" in str(description).split("measured")[0]
    assert description.variables == ()
    assert "3 net counts" in description.withheld["classes"]
    assert any("no background" in note for note in description.notes)


def test_absent_parts_are_noted(tiny_run):
    describer = Describer.from_pretrained(tiny_run, parts=[])
    notes = describer.describe({"counts": np.ones(400, int), "exposure": 1e4}).notes
    for part in ("index", "mixture of experts", "outlier detector", "classes"):
        assert any(note.startswith(f"the model has no {part}: no") for note in notes)


def test_malformed_index_entries_count_as_unknown(tiny_run, tmp_path, files):
    """Entries of the wrong kind are not known, and never break or run anything."""
    shutil.copytree(tiny_run / "model" / "gallery", tmp_path / "index")
    odd = {"counts": "many", "ra": "1h", "dec": None, "obsid": 1.5, "aliases": 3}
    for name, change in (
        ("spectra.jsonl", odd),
        ("entries.jsonl", {"papers": [{"id": 3, "year": "old", "title": {}}, 5], "summary": [1]}),
    ):
        lines = (tmp_path / "index" / name).read_text().splitlines()
        changed = [json.dumps(json.loads(line) | change) for line in lines]
        (tmp_path / "index" / name).write_text("\n".join(changed) + "\n")
    reader = Describer.from_pretrained(tiny_run, index=tmp_path / "index")
    assert not reader.has_source("no such name")
    description = reader.describe(files[0])
    assert description.similar[0].counts is None
    assert description.literature[0].papers[0].year is None
    json.dumps(description.to_dict(), allow_nan=False)
    assert str(description)
    assert description.to_html()


def test_measured_variability_stands_in_place_of_the_predicted(describer, tmp_path):
    header = {"VAR_PROB": 0.998, "VAR_INDX": 7.0, "VAR_MEAN": 0.02, "VAR_SIGM": 0.01}
    header |= {"KS_PROB": 0.9, "KP_PROB": 0.95, "VAR_CNTS": 400, "VAR_LEN": 2e4}
    path = write_pha(tmp_path / "a.pha", np.full(1024, 1), **header)
    description = describer.describe(path)
    assert description.source["variability"]["var_prob_b"] == 0.998
    assert "var_inter_prob_b" in description.withheld
    assert "var_prob_b" not in description.withheld
    assert "var_prob_b" not in {variable.name for variable in description.variables}
    for text in (description.to_text(), description.to_html()):
        assert "variability of 400 events at 0.5–7 keV in 20,000 s, measured" in text
        assert "var_index_b 7" in text

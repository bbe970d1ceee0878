"""Everything a trained model says of a spectrum, asked of a run as training leaves it."""

import dataclasses
import io
import json
import shutil
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import torch
from astropy.table import Table
from chandra_pha import write_pha

from hf_specclip import (
    Describer,
    IndexFilter,
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
from hf_specclip.describe.table import descriptions_table


@pytest.fixture(scope="module")
def describer(tiny_run):
    return Describer.from_pretrained(tiny_run)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("files"), np.random.default_rng(0).poisson
    channels = np.arange(1024)
    return [
        write_pha(folder / f"{i}.pha", draw(4 * np.exp(-channels / (100 * (i + 1)))))
        for i in range(3)
    ]


@pytest.fixture(scope="module")
def found(describer, files):
    return describer.describe(files[0])


def test_each_part_is_what_its_own_class_says(found, tiny_run, files):
    model = SpecCLIPModel.from_pretrained(tiny_run / "model").eval()
    extractor = SpecCLIPFeatureExtractor.from_pretrained(tiny_run / "model")
    inputs = extractor(files[0], return_tensors="pt")
    with torch.no_grad():
        point = model.get_spectrum_features(**inputs).pooler_output
    index = SpecCLIPIndex.from_pretrained(tiny_run / "model")
    assert [hit.id for hit in found.literature] == [
        hit.entry["id"] for hit in index.search(point, 5)[0]
    ]
    nearest = index.search(point, 5, kind="spectra")[0]
    assert [hit.id for hit in found.similar] == [hit.entry["id"] for hit in nearest]
    moe = SpecCLIPMoEForRegression.from_pretrained(tiny_run / "moe")
    expected = moe.predict(model, [read_spectrum(files[0])])
    places = {name: place for place, name in enumerate(moe.config.variables)}
    assert found.variables
    for variable in found.variables:
        place = places[variable.name]
        assert variable.value == pytest.approx(expected.predictions[0, place].item(), rel=1e-5)
        assert variable.lower_68 == pytest.approx(expected.lower_68[0, place].item(), rel=1e-5)
        assert variable.lower_90 <= variable.lower_68 <= variable.upper_68 <= variable.upper_90
    detector = SpecCLIPOutlierDetector.from_pretrained(tiny_run)
    scores = detector.score(OutlierRows(spectrum=point.numpy()))
    assert found.outlier.score == pytest.approx(scores.raw["spectrum_neighbours"][0], abs=1e-6)
    assert found.outlier.percentile == pytest.approx(scores.percentile("spectrum_neighbours")[0])
    assert sum(found.classes.values()) == pytest.approx(1)
    assert list(found.classes.values()) == sorted(found.classes.values(), reverse=True)


def test_run_and_model_folder_are_alike(describer, tiny_run, files):
    other = Describer.from_pretrained(tiny_run / "model")
    assert other.moe is not None
    assert other.outliers is not None
    one, two = describer.describe(files[1]).to_dict(), other.describe(files[1]).to_dict()
    assert one.pop("model") != two.pop("model")
    assert one == two


def test_path_spectrum_and_columns_are_alike(describer, files):
    spectrum = read_spectrum(files[2])
    row = spectrum.rebinned()
    memory = dataclasses.replace(describer.describe(spectrum), file=None)
    for other in (str(files[2]), row):
        found = describer.describe(other)
        assert [hit.id for hit in found.similar] == [hit.id for hit in memory.similar]
        assert found.variables[0].value == pytest.approx(memory.variables[0].value, rel=1e-5)
        assert found.source["counts_0.5_8kev"] == memory.source["counts_0.5_8kev"]
        assert found.outlier.percentile == memory.outlier.percentile


def test_many_are_as_one_by_one(describer, files):
    alone = [describer.describe(file).to_dict() for file in files]
    together = [one.to_dict() for one in describer.describe_many(files, batch_size=2)]
    for one, other in zip(alone, together, strict=True):
        assert one["literature"] == other["literature"]
        assert one["file"] == other["file"]
        for a, b in zip(one["variables"], other["variables"], strict=True):
            assert a["value"] == pytest.approx(b["value"], rel=1e-4)
    assert list(describer.describe_many([])) == []


def test_a_name_of_the_index_is_described(describer):
    entry = describer.index.spectra.entries[7]
    found = describer.describe(entry["source_name"])
    assert found.title == entry["source_name"]
    assert found.similar[0].name == entry["source_name"]
    assert found.similar[0].score == pytest.approx(1, abs=1e-3)
    place = describer.index.find(entry["source_name"])[0]
    brightest = describer.index.spectra.entries[place]
    assert found.source["counts_0.5_8kev"] == brightest["counts"]
    assert found.source["exposure_s"] == pytest.approx(brightest["exposure"])
    # Its own group is not among its neighbours, or no source of the catalogue would be odd.
    assert found.outlier.score > 1e-3


def test_the_map(describer, found):
    points = describer.map_points()
    n = len(describer.index.spectra)
    assert points["positions"].shape == (n, 2)
    assert len(points["names"]) == len(points["classes"]) == n
    assert np.isfinite(points["positions"]).all()
    assert points["positions"].std(axis=0).min() > 0
    low, high = points["positions"].min(axis=0), points["positions"].max(axis=0)
    assert (np.array(found.map_position) >= low).all()
    assert (np.array(found.map_position) <= high).all()
    name = points["names"][3]
    own = describer.catalogue_spectrum(points["ids"][3])
    assert isinstance(own, XRaySpectrum)
    assert int(own.counts.sum()) == describer.index.spectra.entries[3]["counts"]
    # The place of a source of the catalogue is near its own place, compared with the map's width.
    at = points["ids"].index(describer.index.spectra.entries[describer.index.find(name)[0]]["id"])
    apart = np.linalg.norm(
        np.array(describer.describe(name).map_position) - points["positions"][at]
    )
    assert apart < 0.2 * np.linalg.norm(high - low)


def test_search_by_words_and_by_name(describer):
    hits = describer.search("a low-mass X-ray binary", top_k=4)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert all(a.score >= b.score for a, b in pairwise(hits))
    papers = describer.search("a quasar", kind="papers", top_k=3)
    assert len(papers) == 3
    assert papers[0].papers[0].title
    only = describer.search("a star", where=IndexFilter(classes=["lmxb"], counts=(300, None)))
    assert only
    assert {hit.source_class for hit in only} == {"LMXB"}
    assert min(hit.counts for hit in only) >= 300
    near = describer.similar_to(hits[0].name, top_k=3)
    assert hits[0].name not in {hit.name for hit in near}
    with pytest.raises(KeyError, match="is not among"):
        describer.similar_to("2CXO J000000.0+000000")
    with pytest.raises(ValueError, match="empty"):
        describer.search("  ")
    with pytest.raises(ValueError, match="shorten"):
        describer.search("x" * 30_000)


def test_classes_of_ones_own(describer, files):
    [shares] = describer.classify([files[0]], classes=["LMXB", "an exploding star"])
    assert set(shares) == {"LMXB", "an exploding star"}
    assert sum(shares.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="name two or more"):
        describer.classify([files[0]], classes=[])


def test_json_and_text(found):
    text = json.dumps(found.to_dict(), allow_nan=False)
    again = json.loads(text)
    assert again["literature"][0]["papers"][0]["title"]
    assert again["variables"][0]["unit"] == ""
    assert "spectrum" not in again
    words = str(found)
    for part in ("net counts", "literature", "similar sources", "class", "variables", "outlier"):
        assert part in words
    assert "simulated" in words  # the model's papers are invented, and it says so


@pytest.mark.parametrize("kind", ["ascii.ecsv", "votable"])
def test_tables_come_back_whole(describer, files, kind, tmp_path):
    table = descriptions_table(describer.describe_many(files))
    path = tmp_path / "table"
    table.write(path, format=kind)
    again = Table.read(path, format=kind)
    assert again.colnames == table.colnames
    assert len(again) == 3
    np.testing.assert_allclose(again["hard_hs"], table["hard_hs"], rtol=1e-6)
    assert again["exposure"].unit == "s"
    assert again["var_sigma_b"].unit == "ct/s"
    assert list(again["class"]) == list(table["class"])


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


def test_a_page_holds_no_markup_of_strangers(found):
    evil = "<script>alert(1)</script>"
    hit = found.literature[0]
    paper = dataclasses.replace(hit.papers[0], title=evil, id=evil, link=f"javascript:{evil}")
    similar = dataclasses.replace(found.similar[0], name=evil, source_class=evil)
    hostile = dataclasses.replace(
        found,
        file=f"{evil}.pha",
        source={**found.source, "source_name": evil},
        literature=(dataclasses.replace(hit, papers=(paper,), source_names=(evil,)),),
        similar=(similar,),
        classes={evil: 1.0},
        notes=(evil,),
    )
    html = render_page([hostile, found], title=evil)
    parser = _Tags()
    parser.feed(html)
    assert "script" not in parser.tags
    assert "svg" in parser.tags
    assert all(link.startswith(("#", "https://")) for link in parser.links)
    assert evil not in html


def test_the_figure_is_drawn(found, tmp_path):
    found.plot().savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_what_is_absent_is_left_out(tiny_run, tmp_path, files):
    keep = shutil.ignore_patterns("gallery", "zero_shot", "*.py")
    shutil.copytree(tiny_run / "model", tmp_path / "model", ignore=keep)
    bare = Describer.from_pretrained(tmp_path / "model")
    found = bare.describe(files[0])
    assert (found.literature, found.similar, found.classes, found.variables) == ((), (), {}, ())
    assert found.outlier is None
    assert "net counts" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    table = io.StringIO()
    found.to_table().write(table, format="ascii.ecsv")
    with pytest.raises(ValueError, match="no gallery/"):
        bare.search("a star")
    with pytest.raises(ValueError, match="has no classes"):
        bare.classify([files[0]])
    named = Describer.from_pretrained(
        tmp_path / "model", moe=tiny_run, outliers=tiny_run, index=tiny_run / "model"
    )
    found = named.describe(files[0])
    assert found.variables
    assert found.outlier is not None
    assert found.literature


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


def test_few_counts_are_told(describer):
    found = describer.describe({"counts": np.eye(400, dtype=int)[5] * 3, "exposure": 1e4})
    assert any("only 3 counts" in note for note in found.notes)
    assert any("no background" in note for note in found.notes)


def test_an_index_of_strangers_is_data(tiny_run, tmp_path, files):
    """Entries of the wrong kind are not known, and never break or run anything."""
    shutil.copytree(tiny_run / "model" / "gallery", tmp_path / "index")
    odd = {
        "source_name": 7,
        "class": ["x"],
        "counts": "many",
        "ra": "1h",
        "dec": None,
        "obsid": 1.5,
    }
    for name, change in (
        ("spectra.jsonl", odd),
        ("entries.jsonl", {"papers": [{"id": 3, "year": "old", "title": {}}, 5], "summary": [1]}),
    ):
        lines = (tmp_path / "index" / name).read_text().splitlines()
        changed = [json.dumps(json.loads(line) | change) for line in lines]
        (tmp_path / "index" / name).write_text("\n".join(changed) + "\n")
    found = Describer.from_pretrained(tiny_run, index=tmp_path / "index").describe(files[0])
    assert found.similar[0].counts is None
    assert found.literature[0].papers[0].year is None
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found)
    assert found.to_html()

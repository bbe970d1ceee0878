"""Pipelines on spectra: all kinds of input, and loading where the package is not installed."""

import json
import shutil

import numpy as np
import pytest
import torch
from chandra_pha import write_pha
from datasets import Dataset
from test_round_trips import bare

from hf_specclip import Describer, SpecCLIPFeatureExtractor, SpecCLIPModel, pipeline, read_spectrum
from hf_specclip.models.trained_run import BUNDLED

TASKS = (
    "spectrum-feature-extraction",
    "spectrum-retrieval",
    "zero-shot-spectrum-classification",
    "spectrum-parameters",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    counts = np.random.default_rng(0).poisson(4 * np.exp(-np.arange(1024) / 200))
    return write_pha(tmp_path_factory.mktemp("files") / "source.pha", counts)


@pytest.fixture(scope="module")
def pipes(tiny_run):
    return {task: pipeline(task, model=str(tiny_run)) for task in TASKS}


def test_pipelines_agree_with_the_describer(pipes, tiny_run, file):
    found = Describer.from_pretrained(tiny_run).describe(file)
    hits = pipes["spectrum-retrieval"](str(file), top_k=5)
    assert [hit["id"] for hit in hits] == [hit.id for hit in found.literature]
    assert hits[0]["papers"][0]["title"] == found.literature[0].papers[0].title
    similar = pipes["spectrum-retrieval"](str(file), kind="spectra")
    assert [hit["id"] for hit in similar] == [hit.id for hit in found.similar]
    classes = pipes["zero-shot-spectrum-classification"](str(file))
    assert {c["label"]: pytest.approx(c["score"]) for c in classes} == dict(found.classes)
    estimates = pipes["spectrum-parameters"](str(file))
    for variable in found.variables:
        for end in ("value", "lower_68", "upper_90"):
            expected = getattr(variable, end)
            assert estimates[variable.name][end] == pytest.approx(expected, rel=1e-5)
        assert estimates[variable.name]["unit"] == variable.unit
    assert not [name for name in estimates if name.startswith("var_")]


@pytest.mark.parametrize("task", TASKS)
def test_every_kind_of_input_gives_the_same(pipes, task, file):
    pipe, spectrum = pipes[task], read_spectrum(file)
    row = spectrum.rebinned()
    alone = pipe(spectrum)
    keys = ("counts", "exposure", "background_counts", "background_scale")
    table = {name: np.stack([np.asarray(row[name])] * 3) for name in keys}
    for many in (
        pipe([str(file), spectrum, row]),
        pipe([str(file), spectrum, row], batch_size=2),
        pipe(table, batch_size=3),
        pipe(table["counts"], **{name: table[name] for name in keys[1:]}),
        pipe(iter_of([spectrum, row, str(file)])),
        pipe(Dataset.from_dict({name: list(values) for name, values in table.items()})),
    ):
        many = list(many)
        assert len(many) == 3
        for one in many:
            assert_close(one, alone)
    assert_close(pipe(row["counts"].tolist(), **{name: row[name] for name in keys[1:]}), alone)
    assert pipe([]) == []


def iter_of(items):
    yield from items


def assert_close(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_close(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_close(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    else:
        assert one == other


def test_vectors_are_those_of_the_model(pipes, tiny_run, file):
    model = SpecCLIPModel.from_pretrained(tiny_run / "model").eval()
    inputs = SpecCLIPFeatureExtractor.from_pretrained(tiny_run / "model")(
        str(file), return_tensors="pt"
    )
    with torch.no_grad():
        output = model(**inputs)
    pipe = pipes["spectrum-feature-extraction"]
    assert torch.allclose(pipe(str(file), return_tensors=True), output.spectrum_embeds[0])
    assert pipe(str(file), space="latent") == pytest.approx(output.spectrum_latent[0].tolist())


def test_other_labels(pipes, file, tiny_run, tmp_path):
    pipe = pipes["zero-shot-spectrum-classification"]
    found = pipe(str(file), candidate_labels="LMXB, a star with a planet", top_k=2)
    assert {one["label"] for one in found} == {"LMXB", "a star with a planet"}
    assert sum(one["score"] for one in found) == pytest.approx(1)
    moved = shutil.copytree(tiny_run.with_name("encoder"), tmp_path / "renamed")
    settings = {"model": str(tiny_run / "model"), "embedder": f"local:{moved}"}
    pipe = pipeline("zero-shot-spectrum-classification", **settings)
    assert pipe(str(file), candidate_labels="LMXB, a star with a planet") == found


def test_conditions_and_choices(pipes, file):
    hits = pipes["spectrum-retrieval"](str(file), kind="spectra", where={"classes": ["LMXB"]})
    assert {hit["class"] for hit in hits} == {"LMXB"}
    assert set(pipes["spectrum-parameters"](str(file), variables=["hard_hs"])) == {"hard_hs"}


@pytest.mark.parametrize(
    ("task", "spectra", "arguments", "message"),
    [
        ("spectrum-retrieval", "file", {"top_k": 0}, "top_k"),
        ("spectrum-retrieval", "file", {"kind": "books"}, "papers, spectra"),
        ("spectrum-parameters", "file", {"variables": ["colour"]}, "no variable 'colour'"),
        ("spectrum-feature-extraction", "file", {"space": "outer"}, "shared or latent"),
        ("spectrum-feature-extraction", {"rate": [1]}, {}, "no 'counts'"),
        ("spectrum-feature-extraction", 3, {}, "a int is not a spectrum"),
        ("spectrum-feature-extraction", "file", {"exposure": 1.0}, "array of counts"),
        ("zero-shot-spectrum-classification", "file", {"candidate_labels": ["", "b"]}, "name"),
    ],
)
def test_mistakes_are_named(pipes, file, task, spectra, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipes[task](str(file) if spectra == "file" else spectra, **arguments)


def test_a_model_without_companions_says_what_is_missing(tiny_run, tmp_path, file):
    keep = shutil.ignore_patterns("gallery", "zero_shot", "*.py")
    shutil.copytree(tiny_run / "model", tmp_path / "model", ignore=keep)
    with pytest.raises(ValueError, match="has no moe/"):
        pipeline("spectrum-parameters", model=str(tmp_path / "model"))
    with pytest.raises(ValueError, match="has no gallery/"):
        pipeline("spectrum-retrieval", model=str(tmp_path / "model"))(str(file))
    named = pipeline(
        "spectrum-parameters", model=str(tmp_path / "model"), moe=str(tiny_run / "moe")
    )
    assert named(str(file))["hard_hs"]["value"] is not None
    named = pipeline(
        "spectrum-retrieval", model=str(tmp_path / "model"), index=str(tiny_run / "model")
    )
    assert len(named(str(file))) == 5


def test_an_index_without_papers_is_searched_for_spectra(file):
    pipe = pipeline("spectrum-retrieval", model=str(BUNDLED))
    assert [hit["score"] for hit in pipe(str(file), top_k=2)]
    with pytest.raises(ValueError, match="the index has no papers"):
        pipe(str(file), kind="papers")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def in_hub_cache(run, cache):
    """Lay a run out as `huggingface_hub` caches a repository: model, experts, detector."""
    repository = cache / "models--user--name"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(run / "model", snapshot)
    for part in ("moe", "outliers"):
        shutil.copytree(run / part, snapshot / part)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)


def test_a_describer_comes_from_the_cache_of_the_hub(tiny_run, file, tmp_path):
    in_hub_cache(tiny_run, tmp_path / "cache")
    cached = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    found = Describer.from_pretrained("user/name", **cached).describe(file).to_dict()
    expected = Describer.from_pretrained(tiny_run).describe(file).to_dict()
    assert found.pop("model") == "user/name"
    expected.pop("model")
    assert found == expected
    by_commit = Describer.from_pretrained("user/name", revision=COMMIT, **cached)
    assert by_commit.moe is not None
    with pytest.raises(OSError, match="other"):
        Describer.from_pretrained("user/other", **cached)


def test_pipelines_load_where_the_package_is_not_installed(pipes, tiny_run, file, tmp_path):
    """From a run, from the Hub's cache without a network, and from a folder saved by a pipeline.

    Retrieval and classification by name need the package, and say so.
    """
    row = read_spectrum(file).rebinned()
    np.savez(tmp_path / "row.npz", counts=row["counts"], exposure=row["exposure"])
    in_hub_cache(tiny_run, tmp_path / "hf_home" / "hub")
    code = """
import json
import numpy as np
from transformers import pipeline
counts = np.load(sys.argv[3])
row = {name: counts[name] for name in counts.files}
results = {}
for model in (str(folder), "user/name", str(again)):
    results[model] = {}
    for task in ("spectrum-feature-extraction", "spectrum-parameters"):
        pipe = pipeline(task, model=model, **trust)
        assert type(pipe).__module__.startswith("transformers_modules"), type(pipe)
        results[model][task] = pipe(row)
        if model == "user/name" and task == "spectrum-parameters":
            pipe.save_pretrained(again)
(Path(sys.argv[3]).parent / "results.json").write_text(json.dumps(list(results.values())))
for task in ("spectrum-retrieval", "zero-shot-spectrum-classification"):
    pipe = pipeline(task, model=str(again), **trust)
    try:
        pipe(row)
    except ImportError as error:
        assert "pip install hf-specclip" in str(error)
    else:
        raise SystemExit(f"{task} ran without the package")
"""
    again = tmp_path / "again"
    bare(code, tmp_path, tiny_run / "model", again, tmp_path / "row.npz")
    plain = {"counts": row["counts"], "exposure": row["exposure"]}
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == 3
    for by_task in results:
        for task, result in by_task.items():
            assert_close(result, json.loads(json.dumps(pipes[task](plain))))
    folders = {path.name for path in again.iterdir() if path.is_dir()}
    assert folders >= {"gallery", "zero_shot", "vocabulary", "moe", "outliers"}

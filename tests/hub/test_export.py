"""Exported models: the same vectors by other runtimes, and without this package."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stub_embedder import tiny_model

from hf_specclip import SpecCLIPConfig, SpecCLIPFeatureExtractor, SpecCLIPModel
from hf_specclip.hub import export
from hf_specclip.hub.export import SETTINGS_FILE, ExportError, export_model, run_graph
from hf_specclip.hub.export_graphs import SpectrumFeatures, draw_spectra, text_graph

EXAMPLE = Path(__file__).parents[2] / "training" / "examples" / "embed_onnx.py"
HARD = {"n_bins": 190, "energy_range": (3.0, 79.0), "bands": [(3, 8), (8, 20), (20, 79)],
        "windows": (1.2, 4)}  # fmt: skip


def fitted(model, extractor):
    inputs = extractor(draw_spectra(extractor, 64, seed=1), return_tensors="pt")
    values = inputs["spectrum_values"], inputs.get("spectrum_globals")
    model.spectrum_model.fit_statistics(*values)
    return model


@pytest.fixture(scope="module")
def best():
    """A tiny model of the kind of the preset `best`, and its feature extractor."""
    extractor = SpecCLIPFeatureExtractor("flux")
    return fitted(tiny_model(), extractor), extractor


@pytest.fixture(scope="module")
def paper():
    """A tiny model of the kind of the preset `paper`, and its feature extractor."""
    torch.manual_seed(0)
    transformer = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32}
    config = SpecCLIPConfig(spectrum_config=transformer, text_config={"embedding_dim": 32})
    extractor = SpecCLIPFeatureExtractor()
    model = SpecCLIPModel(config).eval()
    model.text_model.fit_statistics(torch.randn(64, 96) / 4)
    return fitted(model, extractor), extractor


@pytest.mark.parametrize("grid", [{}, HARD], ids=["acis", "hard"])
@pytest.mark.parametrize("kind", ["minmax", "physics", "flux"])
def test_features_in_a_graph_are_those_of_the_extractor(kind, grid):
    extractor = SpecCLIPFeatureExtractor(kind, **grid)
    columns = draw_spectra(extractor)
    expected = extractor(columns)
    values, numbers = SpectrumFeatures(extractor)(*map(torch.as_tensor, columns.values()))
    np.testing.assert_allclose(values, expected["spectrum_values"], atol=1e-5)
    if kind != "minmax":
        np.testing.assert_allclose(numbers, expected["spectrum_globals"], atol=1e-5)


@pytest.mark.parametrize(("reads", "numbers"), [("sentences", 0), ("sections", 0)])
def test_texts_in_a_graph_are_those_of_the_model(reads, numbers):
    model = tiny_model(reads, numbers)
    graph = text_graph(model)
    inputs = {name: torch.as_tensor(values) for name, values in graph.example.items()}
    with torch.inference_mode():
        [points] = graph.module(*inputs.values())
        expected = model.get_text_features(**inputs).pooler_output
    np.testing.assert_allclose(points, expected, atol=1e-6)


def test_torchscript_files_give_the_vectors_of_the_model(best, tmp_path):
    model, extractor = best
    content = export_model(model, extractor, tmp_path / "out", "torchscript", name="tiny")
    assert content == json.loads((tmp_path / "out" / SETTINGS_FILE).read_text())
    assert content["features"]["bands"] == [[0.5, 1.2], [1.2, 2.0], [2.0, 7.0]]
    assert content["texts"]["embedder"] == "stub"
    columns = draw_spectra(extractor, 300, seed=2)
    with torch.inference_mode():
        expected = model.get_spectrum_features(**extractor(columns, return_tensors="pt"))
    points = run_graph(tmp_path / "out" / "spectrum.pt", columns)
    np.testing.assert_allclose(points, expected.pooler_output, atol=1e-5)
    with pytest.raises(ValueError, match="int8 needs onnx"):
        export_model(model, extractor, tmp_path / "out", "torchscript", int8=True)


def test_a_file_that_gives_other_vectors_is_refused(best, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 1e-9)
    with pytest.raises(ExportError, match=r"spectrum\.pt gives vectors that differ .*nothing was"):
        export_model(*best, tmp_path / "out", "torchscript")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["best", "paper"])
def test_onnx_files_give_the_vectors_of_the_model(preset, tmp_path, request):
    import onnxruntime

    model, extractor = request.getfixturevalue(preset)
    content = export_model(model, extractor, tmp_path, int8=True)
    for cosines in (content["int8_loss"]["spectrum"], content["int8_loss"]["text"]):
        assert 0.9 < cosines["lowest_cosine"] < cosines["median_cosine"] < 1
    for batch in (1, 5):
        columns = draw_spectra(extractor, batch, seed=3)
        session = onnxruntime.InferenceSession(tmp_path / "spectrum.onnx")
        inputs = {each.name: columns[each.name] for each in session.get_inputs()}
        with torch.inference_mode():
            expected = model.get_spectrum_features(**extractor(columns, return_tensors="pt"))
        [points] = session.run(["embeddings"], inputs)
        np.testing.assert_allclose(points, expected.pooler_output, atol=1e-5)
    if preset == "best":
        example_embeds_without_torch_or_the_package(model, extractor, tmp_path)


def example_embeds_without_torch_or_the_package(model, extractor, folder):
    columns = draw_spectra(extractor, 2, seed=4)
    per_bin = [columns[k][1] for k in ("counts", "background_counts", "effective_area")]
    np.savetxt(folder / "spectrum.csv", np.stack(per_bin, axis=1), delimiter=",")
    scalars = [str(columns[name][1]) for name in ("exposure", "background_scale")]
    words = [str(EXAMPLE), str(folder), str(folder / "spectrum.csv"), *scalars]
    words.append(str(folder / "vector.npy"))
    code = (
        f"import runpy, sys; sys.argv = {words!r}; runpy.run_path(sys.argv[0])\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'transformers', 'hf_specclip', 'astropy'}, loaded"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with torch.inference_mode():
        expected = model.get_spectrum_features(**extractor(columns, return_tensors="pt"))
    vector = np.load(folder / "vector.npy")
    np.testing.assert_allclose(vector, expected.pooler_output[1], atol=1e-5)
    assert "8 numbers of length 1.000" in result.stdout

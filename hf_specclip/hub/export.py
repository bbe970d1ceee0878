"""Export of a model to ONNX or TorchScript, with its settings, checks and losses as JSON."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import SpecCLIPError
from ..evaluation.retrieval import evaluate_retrieval
from ..literature.quantities import KINDS
from ..literature.sentence_sets import SENTENCE_NUMBERS
from ..storage import atomic_folder, write_json
from ..version import __version__
from .export_graphs import Graph, spectrum_graph, text_graph

SETTINGS_FILE = "specclip_export.json"
FORMAT, VERSION = "specclip-export", 1
SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}
# Largest difference of a component of the unit vectors from the model's.
TOLERANCE = 1e-5
RECALL = "recall@1%"
_BATCH = 256
# Modules that int8 leaves alone: a layer that reads numbers of all sizes loses most.
_KEPT = ("features", "numbers_encoder.layers.0", "global_embedding", "numbers_in")
_SCOPES = "pkg.torch.onnx.name_scopes"
_INSTALL = 'pip install "hf-specclip[export]"'
_LIBRARIES = ("torch", "onnx", "onnxruntime")


class ExportError(SpecCLIPError, RuntimeError):
    """A model that cannot be exported, or whose export gives other vectors."""


class MeasuredPairs(NamedTuple):
    """Rows of a dataset on which the loss of an int8 export is measured.

    Attributes:
        name: of the dataset and its split.
        spectra: columns of n spectra, as the graph takes them.
        texts: batches of the inputs of m texts.
        text_of_spectrum: (n,) row of each spectrum's text.
        groups: (n,) label of the group of each spectrum; None for texts as groups.
    """

    name: str
    spectra: Mapping[str, np.ndarray]
    texts: Sequence[Mapping[str, np.ndarray]]
    text_of_spectrum: np.ndarray
    groups: Sequence[Any] | None = None


def export_model(
    model: Any,
    extractor: Any,
    folder: str | os.PathLike[str],
    runtime: str = "onnx",
    *,
    name: str = "model",
    int8: bool = False,
    pairs: MeasuredPairs | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Write the spectral encoder and the text tower of a model for another runtime.

    Args:
        model: dual encoder or ensemble, in evaluation mode.
        extractor: its `SpecCLIPFeatureExtractor`; its arithmetic becomes part of the graph.
        folder: to write: `spectrum` and `text` with the suffix of the runtime, their `.int8.onnx`,
            and `specclip_export.json`.
        runtime: `"onnx"` or `"torchscript"`.
        name: of the model, recorded.
        int8: also write ONNX files with weights of 8 bits, and measure what is lost.
        pairs: rows to measure that loss on; drawn spectra and texts by default.
        say: takes a line on each step.

    Returns:
        The content of `specclip_export.json`.

    Raises:
        ExportError: when a file gives vectors that differ by more than 1e-5.
        ImportError: when a package is absent; says what to install.
        ValueError: for int8 without ONNX.
    """
    if int8 and runtime != "onnx":
        raise ValueError("int8 needs onnx: TorchScript files keep weights of 32 bits")
    if runtime == "onnx":
        _require("onnx", "onnxruntime", "onnxscript")
    content = _settings(model, extractor, runtime, name)
    losses: dict[str, Any] = {}
    with atomic_folder(folder) as partial:
        for graph in (spectrum_graph(model, extractor), text_graph(model)):
            path = partial / f"{graph.name}{SUFFIXES[runtime]}"
            with _quiet():
                (_write_onnx if runtime == "onnx" else _write_torchscript)(graph, path)
            difference = _difference(graph, model, extractor, path)
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"{path.name} gives vectors that differ from the model's by {difference:.1e}, "
                    f"more than {TOLERANCE:g}: nothing was written"
                )
            content[graph.name] = _describe(graph, path.name) | {"largest_difference": difference}
            say(f"{path.name}: {_size(path)}, largest difference from the model {difference:.1e}")
            if int8:
                small = path.with_suffix(".int8.onnx")
                with _quiet():
                    _quantise(path, small)
                content[graph.name]["int8_file"] = small.name
                losses[graph.name] = _cosines(graph, path, small, pairs)
                say(f"{small.name}: {_size(small)}, {_cosine_line(losses[graph.name])}")
        if int8:
            losses["measured_on"] = "drawn spectra and vectors" if pairs is None else pairs.name
            if pairs is not None:
                losses[RECALL] = _recalls(partial, pairs)
                say(_recall_line(losses[RECALL], pairs.name))
            content["int8_loss"] = losses
        write_json(partial / SETTINGS_FILE, content)
    return content


def run_graph(path: Path, inputs: Mapping[str, Any]) -> np.ndarray:
    """Embed inputs by an exported file, in batches: (n, D) of unit length."""
    return np.concatenate(list(_embed(path, [_slice(inputs, rows) for rows in _batches(inputs)])))


def _embed(path: Path, batches: Iterable[Mapping[str, Any]]) -> Iterable[np.ndarray]:
    if path.suffix == ".pt":
        import torch

        traced = torch.jit.load(path)
        for batch in batches:
            with torch.inference_mode():
                yield traced(*map(torch.as_tensor, batch.values()))[0].numpy()
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}
    for batch in batches:
        yield session.run(["embeddings"], {k: v for k, v in batch.items() if k in names})[0]


def _write_onnx(graph: Graph, path: Path) -> None:
    import torch

    names = list(graph.example)
    varying = [{i: a for i, a in enumerate(graph.shape(n)) if isinstance(a, str)} for n in names]
    torch.onnx.export(
        graph.module,
        _example(graph),
        str(path),
        input_names=names,
        output_names=list(graph.outputs),
        dynamic_shapes=(tuple(varying),),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    _strip_traces(path)


def _strip_traces(path: Path) -> None:
    """Remove what the exporter notes on nodes, such as paths of this machine, but for scopes."""
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        scopes = [each for each in node.metadata_props if each.key == _SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(scopes)
    onnx.save(model, path)


def _write_torchscript(graph: Graph, path: Path) -> None:
    import torch

    with torch.inference_mode():
        traced = torch.jit.trace(graph.module, _example(graph), check_trace=False)
        torch.jit.freeze(traced).save(str(path))  # without the other side's weights


def _example(graph: Graph) -> tuple[Any, ...]:
    import torch

    return tuple(torch.as_tensor(values[:4]) for values in graph.example.values())


def _difference(graph: Graph, model: Any, extractor: Any, path: Path) -> float:
    """Return the largest difference of the file's vectors from those of the model itself."""
    import torch

    inputs = graph.example
    with torch.inference_mode():
        if graph.name == "spectrum":
            tensors = dict(extractor(inputs, return_tensors="pt"))
            features = model.get_spectrum_features
        else:
            tensors = {key: torch.as_tensor(values) for key, values in inputs.items()}
            features = model.get_text_features
        tensors = {key: values.to(model.device) for key, values in tensors.items()}
        truth = features(**tensors).pooler_output.float().cpu().numpy()
    return float(np.abs(run_graph(path, inputs) - truth).max())


def _quantise(path: Path, small: Path) -> None:
    """Store the weights of a file in 8 bits, but for the features of spectra and first layers."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    kept = []
    for node in onnx.load(path).graph.node:
        scopes = {each.key: each.value for each in node.metadata_props}.get(_SCOPES, "")
        if any(f"{part}'" in scopes for part in _KEPT):
            kept += [node.name, f"{node.name}_MatMul"]  # the quantiser's name for a Gemm
    quantize_dynamic(path, small, nodes_to_exclude=kept, per_channel=True)


def _cosines(
    graph: Graph, path: Path, small: Path, pairs: MeasuredPairs | None
) -> dict[str, float]:
    batches: Sequence[Mapping[str, Any]] = [graph.example]
    if pairs is not None:
        rows = [_slice(pairs.spectra, some) for some in _batches(pairs.spectra)]
        batches = rows if graph.name == "spectrum" else pairs.texts
    full, short = (np.concatenate(list(_embed(each, batches))) for each in (path, small))
    cosines = (full * short).sum(axis=1) / np.linalg.norm(short, axis=1)
    return {
        "median_cosine": float(np.median(cosines)),
        "lowest_cosine": float(cosines.min()),
        "rows": len(cosines),
        "batch_size": _BATCH,
    }


def _recalls(folder: Path, pairs: MeasuredPairs) -> dict[str, Any]:
    """Return Recall@1% by the files of 32 and of 8 bits, by direction."""
    figures = {}
    for bits, suffix in (("float32", ".onnx"), ("int8", ".int8.onnx")):
        result = evaluate_retrieval(
            run_graph(folder / f"spectrum{suffix}", pairs.spectra),
            np.concatenate(list(_embed(folder / f"text{suffix}", pairs.texts))),
            pairs.text_of_spectrum,
            pairs.groups,
            ks=(1,),
        )
        figures[bits] = {direction: each[RECALL] for direction, each in result.items()}
    return figures


def _cosine_line(loss: Mapping[str, float]) -> str:
    return (
        f"cosine to 32 bits {loss['median_cosine']:.5f} (median), {loss['lowest_cosine']:.5f} "
        f"(lowest of {loss['rows']:,})"
    )


def _recall_line(recalls: Mapping[str, Any], name: str) -> str:
    figures = [
        f"{direction.replace('_', ' ')} {a['value']:.1%} ({a['low']:.1%}–{a['high']:.1%}) → "
        f"{recalls['int8'][direction]['value']:.1%}"
        for direction, a in recalls["float32"].items()
    ]
    return f"Recall@1% on {name}, 32 bits → int8: {'; '.join(figures)}"


def _settings(model: Any, extractor: Any, runtime: str, name: str) -> dict[str, Any]:
    config = model.config.text_config
    libraries = _LIBRARIES if runtime == "onnx" else _LIBRARIES[:1]
    return {
        "format": FORMAT,
        "version": VERSION,
        "runtime": runtime,
        "model": name,
        "weights": _fingerprint(model),
        "versions": {"hf_specclip": __version__} | {each: version(each) for each in libraries},
        "features": {
            key: value
            for key, value in extractor.to_dict().items()
            if key not in ("feature_extractor_type", "auto_map")
        },
        "texts": {
            "embedder": config.embedder_name,
            "embedding_dim": config.embedding_dim,
            "sections": list(config.sections),
            "quantities": list(KINDS) if config.numbers_dim >= SENTENCE_NUMBERS else [],
        },
        "embedding": "unit vectors; the cosine of a spectrum and a text is their inner product",
    }


def _describe(graph: Graph, file: str) -> dict[str, Any]:
    """Return file, inputs and outputs of a graph for the settings."""
    inputs = [
        {"name": n, "type": str(v.dtype), "shape": graph.shape(n), "about": graph.about[n]}
        for n, v in graph.example.items()
    ]
    return {"file": file, "inputs": inputs, "outputs": list(graph.outputs)}


def _fingerprint(model: Any) -> str:
    """Return the SHA-256 over the weights of a model."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().float().numpy()
        digest.update(f"{key}|{values.shape}|".encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _batches(inputs: Mapping[str, Any]) -> list[slice]:
    n = len(next(iter(inputs.values())))
    return [slice(start, start + _BATCH) for start in range(0, n, _BATCH)]


def _slice(inputs: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    return {key: values[rows] for key, values in inputs.items()}


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"


def _require(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise ImportError(f"export to ONNX needs {package}: {_INSTALL}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence notes of the exporters on torchvision, traces and their own deprecations."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)

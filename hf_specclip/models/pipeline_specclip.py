"""Pipelines from spectra to embeddings, literature, classes and physical variables.

Use `hf_specclip.pipeline(task, model=…)`; without the package,
`transformers.pipeline(task, model=…, trust_remote_code=True)` runs the code saved with the weights.
Retrieval and classification need the package.
"""

# The model and feature extractor are optional in the base class.
# mypy: disable-error-code="arg-type, union-attr, misc, override"
# mypy: disable-error-code="assignment, operator, return-value"

import os
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Pipeline
from transformers.dynamic_module_utils import custom_object_save

from .checkpoint_specclip import package_module
from .feature_extraction_specclip import SpecCLIPFeatureExtractor
from .modeling_specclip_moe import SpecCLIPMoEForRegression, SpecCLIPMoEOutput
from .spectrum_input_specclip import global_features_kind
from .trained_run import find_run

_COLUMNS = ("exposure", "background_counts", "background_scale", "effective_area")
# Folders saved with a model.
_COMPANIONS = ("gallery", "zero_shot", "classifier", "vocabulary", "moe", "outliers")


class SpectrumPipeline(Pipeline):
    """Base class of the pipelines on spectra.

    A spectrum is the path of a PHA file (needs `hf_specclip` installed), an `XRaySpectrum`, an
    array of counts (bins,) with `exposure=` (and `background_counts=`, `background_scale=`,
    `effective_area=`), or a mapping of these columns. A list of spectra, an array (n, bins) or a
    mapping of arrays gives a list of results; a generator or dataset gives a generator.
    """

    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = True
    _load_tokenizer = False

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.model.eval()
        self._loaded_run: Any = None

    def __call__(self, spectra: Any, **kwargs: Any) -> Any:
        """Run the task on one spectrum or many.

        Args:
            spectra: see the class.
            kwargs: `batch_size`, and the call arguments of the pipeline.
        """
        columns = {name: kwargs.pop(name) for name in _COLUMNS if name in kwargs}
        items = _items(spectra, columns)
        if items is None:  # a generator or a dataset
            if not isinstance(spectra, torch.utils.data.Dataset):
                spectra = (spectrum for spectrum in spectra)
            return super().__call__(spectra, **kwargs)
        if isinstance(items, list):
            return super().__call__(items, **kwargs) if items else []
        return super().__call__([items], **kwargs)[0]

    def preprocess(self, spectrum: Any) -> Any:
        """Convert a spectrum to tensors."""
        return self.feature_extractor(spectrum, return_tensors="pt")

    def _forward(self, inputs: Any) -> dict[str, torch.Tensor]:
        output = self.model(**inputs)
        return {"embeds": output.spectrum_embeds, "latent": output.spectrum_latent}

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save the model with its index, classes and experts; see `Pipeline.save_pretrained`."""
        target = Path(save_directory)
        if target.is_file():
            raise ValueError(f"{target} is a file, not a folder")
        target.mkdir(parents=True, exist_ok=True)
        save_code(target)
        self.model.config.custom_pipelines = custom_pipelines()
        self.model.save_pretrained(target, **kwargs)
        self.feature_extractor.save_pretrained(target, **kwargs)
        run = self._run()
        for name in _COMPANIONS if run is not None else ():
            folders = (parent / name for parent in (run.model, run.root))
            source = next(filter(Path.is_dir, folders), None)
            if source is not None and source.resolve() != (target / name).resolve():
                shutil.copytree(source, target / name, dirs_exist_ok=True)

    def _run(self) -> Any:
        """Return the run that the model was loaded from, or None."""
        name = self.model.name_or_path
        if self._loaded_run is None and name:
            revision = getattr(self.model.config, "_commit_hash", None)
            self._loaded_run = find_run(name, **({"revision": revision} if revision else {}))
        return self._loaded_run

    def _folder(self, name: str, file: str, path: Any) -> Path:
        """Return a folder with `file`: `path` or below it, by default `name` of the model's run."""
        if path is not None:
            for folder in (Path(path), Path(path) / name):
                if (folder / file).is_file():
                    return folder
            raise ValueError(f"{path} has no {file}: give a folder {name}/")
        run = self._run()
        folder = None if run is None else run.folder(name, file)
        if folder is None:
            raise ValueError(
                f"the model {self.model.name_or_path or '(in memory)'} has no {name}/: give its "
                "folder when you create the pipeline"
            )
        return folder


class SpectrumFeatureExtractionPipeline(SpectrumPipeline):
    """Pipeline from spectra to embeddings: `pipeline("spectrum-feature-extraction", model=…)`.

    Call arguments: `space`, `"shared"` (default; unit vectors in the space shared with the
    literature) or `"latent"` (latents of the encoder); `return_tensors`, True for torch tensors in
    place of lists.
    """

    def _sanitize_parameters(
        self, space: str | None = None, return_tensors: bool | None = None
    ) -> tuple[dict, dict, dict]:
        if space not in (None, "shared", "latent"):
            raise ValueError(f"space is {space!r}, it must be shared or latent")
        arguments = {"space": space, "return_tensors": return_tensors}
        return {}, {}, {name: value for name, value in arguments.items() if value is not None}

    def postprocess(self, outputs: Any, space: str = "shared", return_tensors: bool = False) -> Any:
        """Return the embedding of a spectrum."""
        vector = outputs["embeds" if space == "shared" else "latent"][0].float()
        return vector if return_tensors else vector.tolist()


class SpectrumRetrievalPipeline(SpectrumPipeline):
    """Pipeline from spectra to the nearest literature or spectra:
    `pipeline("spectrum-retrieval", model=…)`.

    Args:
        index: folder of an index; by default the index of the model.

    Call arguments: `top_k` (5), `kind` (`"papers"` or `"spectra"`; by default papers, or spectra
    for an index without papers), `where` (mapping of arguments of `IndexFilter`).

    Returns a list of hits, nearest first: `score` (cosine), `id`, and for papers `source_names`,
    `papers` (with `link`) and `summary`; for spectra the entry of the index.
    """

    def __init__(self, *args: Any, index: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._index_path = index

    @cached_property
    def index(self) -> Any:
        """The `SpecCLIPIndex` to search.

        Raises:
            ImportError: `hf_specclip` is not installed.
        """
        search = package_module("search.index", "searching literature and spectra")
        folder = self._folder("gallery", "entries.jsonl", self._index_path)
        return search.SpecCLIPIndex.load(folder)

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        kind: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> tuple[dict, dict, dict]:
        arguments = {"top_k": top_k, "kind": kind, "where": where}
        return {}, {}, {name: value for name, value in arguments.items() if value is not None}

    def postprocess(
        self,
        outputs: Any,
        top_k: int = 5,
        kind: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the hits of a spectrum.

        Raises:
            ValueError: the index has no entries of that kind.
        """
        index, index_filter = self.index, None
        kind = kind or ("papers" if len(index.papers) else "spectra")
        if not len(index.part(kind)):
            raise ValueError(f"the index has no {kind}: leave kind out, or load another index")
        if where is not None:
            index_filter = package_module("search.filter", "filtering").IndexFilter(**where)
        [hits] = index.search(outputs["embeds"], top_k, kind=kind, where=index_filter)
        return [{"score": hit.score, **_with_links(hit.entry)} for hit in hits]


class ZeroShotSpectrumClassificationPipeline(SpectrumPipeline):
    """Zero-shot classification of spectra:
    `pipeline("zero-shot-spectrum-classification", model=…)`.

    Args:
        embedder: embedder of candidate labels, or its specification (such as `"local:DIR"`); by
            default the embedder that the model records.

    Call arguments: `candidate_labels` (default: the classes of the model), `top_k` (default: all).

    Returns a list of `{"label", "score"}`, most probable first; the scores of all labels sum to 1.
    """

    def __init__(self, *args: Any, embedder: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._embedder = embedder
        self._classes: dict[tuple[str, ...] | None, Any] = {}

    def _sanitize_parameters(
        self, candidate_labels: Any = None, top_k: int | None = None
    ) -> tuple[dict, dict, dict]:
        arguments: dict[str, Any] = _top_k_argument(top_k)
        if isinstance(candidate_labels, str):
            candidate_labels = [name.strip() for name in candidate_labels.split(",")]
        if candidate_labels is not None:
            arguments["candidate_labels"] = tuple(candidate_labels)
        return {}, {}, arguments

    def classes(self, labels: tuple[str, ...] | None = None) -> Any:
        """Return the `ZeroShotClasses` of the model, or of other labels at the same temperature.

        Raises:
            ImportError: `hf_specclip` is not installed.
        """
        if labels in self._classes:
            return self._classes[labels]
        zero_shot = package_module("classify.zero_shot", "classification by name").ZeroShotClasses
        if labels is None:
            folder = self._folder("zero_shot", "zero_shot.json", None)
            classes = zero_shot.from_pretrained(folder)
        else:
            queries = package_module("search.text_queries", "embedding the names of classes")
            run = self._run()
            embed = queries.TextQueries(self.model, self._embedder, run and run.model).embed
            classes = zero_shot.from_prompts(labels, embed, self.classes().temperature)
        self._classes[labels] = classes
        return classes

    def postprocess(
        self,
        outputs: Any,
        candidate_labels: tuple[str, ...] | None = None,
        top_k: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the classes of a spectrum with their scores."""
        zero_shot = self.classes(candidate_labels)
        [scores] = zero_shot.probabilities(outputs["embeds"])
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [{"label": zero_shot.classes[i], "score": float(scores[i])} for i in order]


class SpectrumParametersPipeline(SpectrumPipeline):
    """Pipeline from spectra to physical variables with intervals:
    `pipeline("spectrum-parameters", model=…)`.

    Args:
        moe: folder of the mixture of experts; by default that of the model.

    Call arguments: `variables`, names of the variables to return (default: all but those of
    variability, since a spectrum has no times).

    Returns a mapping from variable to `value`, `lower_68`, `upper_68`, `lower_90`, `upper_90` (None
    for an unbounded limit) and `unit`.
    """

    def __init__(self, *args: Any, moe: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        folder = self._folder("moe", "config.json", moe)
        self.moe = SpecCLIPMoEForRegression.from_pretrained(folder).eval().to(self.device)
        config = self.model.config.spectrum_config
        self._global_extractor = SpecCLIPFeatureExtractor(
            global_features_kind(config.input_kind), **config.grid
        )

    def _sanitize_parameters(self, variables: Any = None) -> tuple[dict, dict, dict]:
        if variables is None:
            return {}, {}, {}
        return {}, {}, {"variables": [variables] if isinstance(variables, str) else list(variables)}

    def preprocess(self, spectrum: Any) -> Any:
        """Convert a spectrum to tensors, with the global features for the experts."""
        inputs = super().preprocess(spectrum)
        features = inputs
        if self.feature_extractor.input_kind != self._global_extractor.input_kind:
            features = self._global_extractor(spectrum, return_tensors="pt")
        return {**inputs, "features": features["spectrum_globals"]}

    def _forward(self, inputs: Any) -> dict[str, torch.Tensor]:
        features = inputs.pop("features")
        output = self.model(**inputs)
        prediction = self.moe.predict(self.model, output=output, features=features)
        return {name: values for name, values in prediction.items() if values.dim() == 2}

    def postprocess(
        self, outputs: Any, variables: list[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return the variables of a spectrum with their intervals."""
        [record] = self.moe.to_records(SpecCLIPMoEOutput(**outputs))
        names = variables
        if names is None:
            names = [name for name in record if not name.startswith("var_")]
        if unknown := [name for name in names if name not in record]:
            raise ValueError(f"no variable {unknown[0]!r}: use {', '.join(record)}")
        return {name: record[name] for name in names}


class SpectrumClassificationPipeline(SpectrumPipeline):
    """Classification or regression of spectra by a probe on user labels:
    `pipeline("spectrum-classification", model=…, probe="my_classes")`.

    Args:
        probe: folder written by `specclip classify --fit` with this model.

    Call arguments: `top_k` (default: all).

    Returns a list of `{"label", "score", "none_of_these"}`, most probable first; `none_of_these` is
    True for a spectrum unlike the labelled ones. For regression, a mapping of `value`, `lower_68`,
    `upper_68`, `lower_90`, `upper_90` and `none_of_these`.
    """

    def __init__(self, *args: Any, probe: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        probes = package_module("classify.probe", "classification by user labels")
        folder = self._folder("probe", "probe.json", probe)
        [self.probe] = probes.load_probes([folder], self.model, str(self.model.name_or_path))

    def _sanitize_parameters(self, top_k: int | None = None) -> tuple[dict, dict, dict]:
        return {}, {}, _top_k_argument(top_k)

    def _forward(self, inputs: Any) -> dict[str, torch.Tensor]:
        features = inputs.get("spectrum_globals")
        optional = {} if features is None or not features.shape[-1] else {"features": features}
        outputs = super()._forward(inputs)
        return {"embedding": outputs["embeds"], "latent": outputs["latent"], **optional}

    def postprocess(self, outputs: Any, top_k: int | None = None) -> Any:
        """Return the prediction of the probe for a spectrum."""
        arrays = {name: values.float().numpy() for name, values in outputs.items()}
        [answer] = self.probe.answers(arrays)
        none = {"none_of_these": answer.none_of_these}
        if answer.value is not None:
            names = ("value", "lower_68", "upper_68", "lower_90", "upper_90")
            return {**{name: getattr(answer, name) for name in names}, **none}
        ranked = list(answer.probabilities.items())[:top_k]
        return [{"label": label, "score": score, **none} for label, score in ranked]


TASKS: dict[str, type[SpectrumPipeline]] = {
    "spectrum-feature-extraction": SpectrumFeatureExtractionPipeline,
    "spectrum-retrieval": SpectrumRetrievalPipeline,
    "zero-shot-spectrum-classification": ZeroShotSpectrumClassificationPipeline,
    "spectrum-parameters": SpectrumParametersPipeline,
    "spectrum-classification": SpectrumClassificationPipeline,
}


def custom_pipelines() -> dict[str, dict[str, Any]]:
    """Return the entry of a model's configuration that names its pipelines."""
    module = Path(__file__).stem
    return {
        task: {"impl": f"{module}.{pipeline_class.__name__}", "pt": ["AutoModel"]}
        for task, pipeline_class in TASKS.items()
    }


def save_code(folder: str | os.PathLike) -> None:
    """Save the code of the pipelines with the weights, for `trust_remote_code=True`."""
    custom_object_save(SpectrumPipeline, folder)


def _items(spectra: Any, columns: Mapping[str, Any]) -> Any:
    """Convert the input to one spectrum or a list of spectra; None for a generator or dataset."""
    if isinstance(spectra, list | tuple) and spectra:
        if all(isinstance(value, int | float) for value in spectra):
            spectra = np.asarray(spectra)
        elif all(_is_array(counts) for counts in spectra):
            spectra = np.stack([_numpy(counts) for counts in spectra])
    if _is_array(spectra):
        return _rows({"counts": spectra, **columns})
    if columns:
        raise ValueError(f"{', '.join(columns)} as keyword needs an array of counts")
    if isinstance(spectra, str | os.PathLike) or hasattr(spectra, "rebinned"):
        return spectra
    if isinstance(spectra, Mapping):
        return _rows(spectra)
    if isinstance(spectra, list | tuple):
        return [_items(spectrum, {}) for spectrum in spectra]
    if not hasattr(spectra, "__iter__") and not isinstance(spectra, torch.utils.data.Dataset):
        raise ValueError(
            f"a {type(spectra).__name__} is not a spectrum: give the path of a PHA file, an "
            "XRaySpectrum, counts, a mapping with counts, or a list of these"
        )
    return None


def _rows(columns: Mapping[str, Any]) -> Any:
    """Split columns into one mapping per spectrum."""
    if columns.get("counts") is None:
        raise ValueError(f"no 'counts' among the columns {sorted(map(str, columns))}")
    arrays = {
        name: _numpy(columns[name])
        for name in ("counts", *_COLUMNS)
        if columns.get(name) is not None
    }
    if arrays["counts"].ndim == 1:
        return arrays
    n = len(arrays["counts"])
    for name, values in arrays.items():
        if values.ndim == 0 or (name == "background_counts" and values.ndim == 1):
            arrays[name] = np.broadcast_to(values, (n, *values.shape))
        if len(arrays[name]) != n:
            raise ValueError(f"{len(values)} values of {name} for {n} spectra")
    return [{name: values[row] for name, values in arrays.items()} for row in range(n)]


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and not hasattr(value, "rebinned")


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _top_k_argument(top_k: int | None) -> dict[str, int]:
    if top_k is None:
        return {}
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    return {"top_k": top_k}


def _with_links(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an index entry with links to its papers."""
    if "papers" not in entry:
        return dict(entry)
    paper_url = package_module("search.index", "links to papers").paper_url
    papers = [{**paper, "link": paper_url(paper)} for paper in entry["papers"]]
    return {
        "id": entry["id"],
        "source_names": list(entry.get("source_names") or ()),
        "papers": papers,
        "summary": dict(entry.get("summary") or {}),
    }


__all__ = [
    "TASKS",
    "SpectrumClassificationPipeline",
    "SpectrumFeatureExtractionPipeline",
    "SpectrumParametersPipeline",
    "SpectrumPipeline",
    "SpectrumRetrievalPipeline",
    "ZeroShotSpectrumClassificationPipeline",
    "custom_pipelines",
    "save_code",
]

"""Pipelines: spectra to vectors, to literature, to classes and to physical variables.

With this package installed, `hf_specclip.pipeline(task, model=…)`; elsewhere
`transformers.pipeline(task, model=…, trust_remote_code=True)`, with the code saved beside the
weights. Literature and classes need the package.
"""

# A pipeline's parts are optional in its base class; a type checker cannot know which are set.
# mypy: disable-error-code="arg-type, union-attr, misc, override"
# mypy: disable-error-code="assignment, operator, return-value"

import importlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Pipeline
from transformers.dynamic_module_utils import custom_object_save

from .feature_extraction_specclip import SpecCLIPFeatureExtractor
from .modeling_specclip_moe import SpecCLIPMoEForRegression, SpecCLIPMoEOutput
from .spectrum_input_specclip import describing_kind
from .trained_run import find_run

_COLUMNS = ("exposure", "background_counts", "background_scale", "effective_area")
# Folders saved along with a model.
_COMPANIONS = ("gallery", "zero_shot", "vocabulary", "moe", "outliers")


class SpectrumPipeline(Pipeline):
    """Base class of the pipelines on spectra.

    Inputs: the path of a PHA file (where `hf_specclip` is installed), an `XRaySpectrum`, an array
    of counts (bins,) with `exposure=` (and `background_counts=`, `background_scale=`,
    `effective_area=`), a mapping of these; or a list of such, an array (n, bins), or a mapping of
    arrays, which give a list; or a generator or dataset of such, which give a generator.
    """

    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = True
    _load_tokenizer = False

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.model.eval()
        self._source: Any = None

    def __call__(self, spectra: Any, **kwargs: Any) -> Any:
        """Run the task on one spectrum or many.

        Args:
            spectra: see the class.
            kwargs: `batch_size`, and those of the task.
        """
        columns = {name: kwargs.pop(name) for name in _COLUMNS if name in kwargs}
        items = _items(spectra, columns)
        if items is None:  # a generator or a dataset, taken one by one
            if not isinstance(spectra, torch.utils.data.Dataset):
                spectra = (spectrum for spectrum in spectra)
            return super().__call__(spectra, **kwargs)
        if isinstance(items, list):
            return super().__call__(items, **kwargs) if items else []
        return super().__call__([items], **kwargs)[0]

    def preprocess(self, spectrum: Any) -> Any:
        """Turn one spectrum into tensors."""
        return self.feature_extractor(spectrum, return_tensors="pt")

    def _forward(self, inputs: Any) -> dict[str, torch.Tensor]:
        output = self.model(**inputs)
        return {"embeds": output.spectrum_embeds, "latent": output.spectrum_latent}

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save the model with its texts, classes and experts, for all pipelines.

        See `Pipeline.save_pretrained`.
        """
        target = Path(save_directory)
        if target.is_file():
            raise ValueError(f"{target} is a file: give a folder")
        target.mkdir(parents=True, exist_ok=True)
        save_code(target)
        self.model.config.custom_pipelines = custom_pipelines()
        self.model.save_pretrained(target, **kwargs)
        self.feature_extractor.save_pretrained(target, **kwargs)
        run = self._run()
        for name in _COMPANIONS if run is not None else ():
            home = next((h / name for h in (run.model, run.root) if (h / name).is_dir()), None)
            if home is not None and home.resolve() != (target / name).resolve():
                shutil.copytree(home, target / name, dirs_exist_ok=True)

    def _run(self) -> Any:
        """Return the run that the model was loaded from, or None."""
        name = self.model.name_or_path
        if not name:
            return None
        if self._source is None:
            revision = getattr(self.model.config, "_commit_hash", None)
            self._source = find_run(name, **({"revision": revision} if revision else {}))
        return self._source

    def _folder(self, part: str, file: str, given: Any) -> Path:
        """Return the folder of a companion of the model, or the one given."""
        if given is not None:
            for folder in (Path(given), Path(given) / part):
                if (folder / file).is_file():
                    return folder
            raise ValueError(f"{given} holds no {part} (no {file})")
        run = self._run()
        folder = None if run is None else run.folder(part, file)
        if folder is None:
            raise ValueError(
                f"the model {self.model.name_or_path or '(in memory)'} comes without {part}/: name "
                "its folder when you make the pipeline"
            )
        return folder


class SpectrumFeatureExtractionPipeline(SpectrumPipeline):
    """Pipeline from spectra to vectors: `pipeline("spectrum-feature-extraction", model=…)`.

    Call arguments: `space`, `"shared"` (the default; unit vectors in the space shared with the
    literature) or `"latent"` (the encoder's); `return_tensors`, True for torch tensors in place of
    lists.
    """

    def _sanitize_parameters(
        self, space: str | None = None, return_tensors: bool | None = None
    ) -> tuple[dict, dict, dict]:
        if space not in (None, "shared", "latent"):
            raise ValueError(f"space is {space!r}, it must be shared or latent")
        more: dict[str, Any] = {} if space is None else {"space": space}
        if return_tensors is not None:
            more["return_tensors"] = return_tensors
        return {}, {}, more

    def postprocess(self, outputs: Any, space: str = "shared", return_tensors: bool = False) -> Any:
        """Return the vector of a spectrum."""
        vector = outputs["embeds" if space == "shared" else "latent"][0].float()
        return vector if return_tensors else vector.tolist()


class SpectrumRetrievalPipeline(SpectrumPipeline):
    """Pipeline from spectra to the closest literature, or the closest spectra:
    `pipeline("spectrum-retrieval", model=…)`.

    Args:
        index: folder of an index, in place of the one the model came with.

    Call arguments: `top_k` (5), `kind` (`"papers"` or `"spectra"`), `where`, a mapping of the
    arguments of `IndexFilter`.

    Returns a list of hits, closest first: `score` (cosine), `id`, and for papers `source_names`,
    `papers` (with `link`) and `summary`; for spectra the entry of the index.
    """

    def __init__(self, *args: Any, index: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._index, self._given = None, index

    @property
    def index(self) -> Any:
        """The `SpecCLIPIndex` that is searched.

        Raises:
            ImportError: where `hf_specclip` is not installed.
        """
        if self._index is None:
            search = _package_module("search.index", "searching literature and spectra")
            folder = self._folder("gallery", "entries.jsonl", self._given)
            self._index = search.SpecCLIPIndex.load(folder)
        return self._index

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        kind: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> tuple[dict, dict, dict]:
        given = {"top_k": top_k, "kind": kind, "where": where}
        return {}, {}, {name: value for name, value in given.items() if value is not None}

    def postprocess(
        self,
        outputs: Any,
        top_k: int = 5,
        kind: str = "papers",
        where: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the hits of a spectrum."""
        index, only = self.index, None
        if where is not None:
            only = _package_module("search.filter", "filtering").IndexFilter(**where)
        [hits] = index.search(outputs["embeds"], top_k, kind=kind, where=only)
        return [{"score": hit.score, **_with_links(hit.entry)} for hit in hits]


class ZeroShotSpectrumClassificationPipeline(SpectrumPipeline):
    """Pipeline from spectra to classes, by class names (zero-shot):
    `pipeline("zero-shot-spectrum-classification", model=…)`.

    Args:
        embedder: of the names of other classes, or its specification (such as `"local:DIR"`), where
            the one that the model records is not found by itself.

    Call arguments: `candidate_labels` (by default the classes the model came with; others need
    `hf_specclip` installed, to embed their names), `top_k` (all).

    Returns a list of `{"label", "score"}`, likeliest first; scores sum to 1 over all labels.
    """

    def __init__(self, *args: Any, embedder: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._embedder = embedder
        self._model_classes: Any = None
        self._other_classes: dict[tuple[str, ...], Any] = {}

    def _sanitize_parameters(
        self, candidate_labels: Any = None, top_k: int | None = None
    ) -> tuple[dict, dict, dict]:
        more: dict[str, Any] = {}
        if isinstance(candidate_labels, str):
            candidate_labels = [name.strip() for name in candidate_labels.split(",")]
        if candidate_labels is not None:
            more["candidate_labels"] = tuple(candidate_labels)
        if top_k is not None:
            if top_k < 1:
                raise ValueError(f"top_k must be at least 1, not {top_k}")
            more["top_k"] = top_k
        return {}, {}, more

    def classes(self, labels: tuple[str, ...] | None = None) -> Any:
        """Return the model's `ZeroShotClasses`, or those of other labels at its temperature.

        Raises:
            ImportError: where `hf_specclip` is not installed.
        """
        zero_shot = _package_module("classify.zero_shot", "classification by name").ZeroShotClasses
        if self._model_classes is None:
            self._model_classes = zero_shot.from_pretrained(
                self._folder("zero_shot", "zero_shot.json", None)
            )
        if labels is None:
            return self._model_classes
        if labels not in self._other_classes:
            queries = _package_module("search.text_queries", "embedding the names of classes")
            run = self._run()
            embed = queries.TextQueries(self.model, self._embedder, run and run.model).embed
            self._other_classes[labels] = zero_shot.from_prompts(
                labels, embed, self._model_classes.temperature
            )
        return self._other_classes[labels]

    def postprocess(
        self,
        outputs: Any,
        candidate_labels: tuple[str, ...] | None = None,
        top_k: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the classes of a spectrum with their scores."""
        known = self.classes(candidate_labels)
        [shares] = known.probabilities(outputs["embeds"])
        order = np.argsort(-shares, kind="stable")[:top_k]
        return [{"label": known.classes[i], "score": float(shares[i])} for i in order]


class SpectrumParametersPipeline(SpectrumPipeline):
    """Pipeline from spectra to physical variables with intervals:
    `pipeline("spectrum-parameters", model=…)`.

    Args:
        moe: folder of the mixture of experts, in place of the one the model came with.

    Call arguments: `variables`, names of those to return.

    Returns for each variable `value`, `lower_68`, `upper_68`, `lower_90`, `upper_90` (None where
    nothing bounds that end) and `unit`.
    """

    def __init__(self, *args: Any, moe: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        folder = self._folder("moe", "config.json", moe)
        self.moe = SpecCLIPMoEForRegression.from_pretrained(folder).eval().to(self.device)
        settings = self.model.config.spectrum_config
        self._describing = SpecCLIPFeatureExtractor(
            describing_kind(settings.input_kind), **settings.grid
        )

    def _sanitize_parameters(self, variables: Any = None) -> tuple[dict, dict, dict]:
        if variables is None:
            return {}, {}, {}
        return {}, {}, {"variables": [variables] if isinstance(variables, str) else list(variables)}

    def preprocess(self, spectrum: Any) -> Any:
        """Turn one spectrum into tensors, with the numbers that the experts read."""
        inputs = super().preprocess(spectrum)
        if self.feature_extractor.input_kind == self._describing.input_kind:
            numbers = inputs["spectrum_globals"]
        else:
            numbers = self._describing(spectrum, return_tensors="pt")["spectrum_globals"]
        return {**inputs, "features": numbers}

    def _forward(self, inputs: Any) -> dict[str, torch.Tensor]:
        features = inputs.pop("features")
        output = self.model(**inputs)
        found = self.moe.predict(self.model, output=output, features=features)
        return {name: values for name, values in found.items() if values.dim() == 2}

    def postprocess(
        self, outputs: Any, variables: list[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return the variables of a spectrum with their intervals."""
        [record] = self.moe.to_records(SpecCLIPMoEOutput(**outputs))
        wanted = list(record) if variables is None else variables
        if unknown := [name for name in wanted if name not in record]:
            raise ValueError(f"no variable {unknown[0]!r}: there are {', '.join(record)}")
        return {name: record[name] for name in wanted}


class SpectrumClassificationPipeline(SpectrumPipeline):
    """Pipeline from spectra to classes, or a number, of one's own labels:
    `pipeline("spectrum-classification", model=…, probe="my_classes")`.

    Args:
        probe: folder that `specclip classify --fit` has written, for this model.

    Call arguments: `top_k` (all).

    Returns a list of `{"label", "score"}`, likeliest first, each with `none_of_these`: whether the
    spectrum is unlike all that were labelled. Of a number: `value`, `lower_68`, … in place of it.
    """

    def __init__(self, *args: Any, probe: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        probes = _package_module("classify.probe", "classification by one's own labels")
        folder = self._folder("probe", "probe.json", probe)
        [self.probe] = probes.load_probes([folder], self.model, str(self.model.name_or_path))

    def _sanitize_parameters(self, top_k: int | None = None) -> tuple[dict, dict, dict]:
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        return {}, {}, {} if top_k is None else {"top_k": top_k}

    def _forward(self, inputs: Any) -> dict[str, torch.Tensor]:
        numbers = inputs.get("spectrum_globals")
        features = {} if numbers is None or not numbers.shape[-1] else {"features": numbers}
        outputs = super()._forward(inputs)
        return {"embedding": outputs["embeds"], "latent": outputs["latent"], **features}

    def postprocess(self, outputs: Any, top_k: int | None = None) -> Any:
        """Return the answer of the probe to a spectrum."""
        arrays = {name: values.float().numpy() for name, values in outputs.items()}
        [answer] = self.probe.answers(arrays)
        far = {"none_of_these": answer.none_of_these}
        if answer.value is not None:
            names = ("value", "lower_68", "upper_68", "lower_90", "upper_90")
            return {**{name: getattr(answer, name) for name in names}, **far}
        ranked = list(answer.probabilities.items())[:top_k]
        return [{"label": label, "score": score, **far} for label, score in ranked]


TASKS: dict[str, type[SpectrumPipeline]] = {
    "spectrum-feature-extraction": SpectrumFeatureExtractionPipeline,
    "spectrum-retrieval": SpectrumRetrievalPipeline,
    "zero-shot-spectrum-classification": ZeroShotSpectrumClassificationPipeline,
    "spectrum-parameters": SpectrumParametersPipeline,
    "spectrum-classification": SpectrumClassificationPipeline,
}


def _package_module(name: str, purpose: str) -> Any:
    """Import a module of the installed package, which the files beside weights do not contain.

    This is no import statement, because transformers asks for every package that saved code
    imports.
    """
    try:
        return importlib.import_module(f"hf_specclip.{name}")
    except ImportError as error:
        raise ImportError(f"{purpose} needs the package: pip install hf-specclip") from error


def custom_pipelines() -> dict[str, dict[str, Any]]:
    """Return the entry of a model's configuration that names its pipelines."""
    module = Path(__file__).stem
    return {
        task: {"impl": f"{module}.{kind.__name__}", "pt": ["AutoModel"]}
        for task, kind in TASKS.items()
    }


def save_code(folder: str | os.PathLike) -> None:
    """Put the code of the pipelines beside weights, for `trust_remote_code=True`."""
    custom_object_save(SpectrumPipeline, folder)


def _items(spectra: Any, columns: Mapping[str, Any]) -> Any:
    """Return one spectrum, or a list, as the feature extractor takes them; None for an iterable."""
    if isinstance(spectra, str | os.PathLike) or hasattr(spectra, "rebinned"):
        _refuse(columns)
        return spectra
    if isinstance(spectra, Mapping):
        _refuse(columns)
        return _rows(spectra)
    if isinstance(spectra, list | tuple):
        if spectra and all(isinstance(each, int | float) for each in spectra):
            return _rows({"counts": np.asarray(spectra), **columns})
        if spectra and all(_is_array(each) for each in spectra):
            return _rows({"counts": np.stack([_numpy(each) for each in spectra]), **columns})
        _refuse(columns)
        return [_items(each, {}) for each in spectra]
    if _is_array(spectra):
        return _rows({"counts": spectra, **columns})
    _refuse(columns)
    if not hasattr(spectra, "__iter__") and not isinstance(spectra, torch.utils.data.Dataset):
        raise ValueError(
            f"cannot take a {type(spectra).__name__} for spectra: give the path of a PHA file, an "
            "XRaySpectrum, counts, a mapping with counts, or many of these"
        )
    return None


def _rows(columns: Mapping[str, Any]) -> Any:
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


def _refuse(columns: Mapping[str, Any]) -> None:
    if columns:
        raise ValueError(f"{', '.join(columns)} as keyword goes with an array of counts only")


def _with_links(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of the index, with links to its papers."""
    if "papers" not in entry:
        return dict(entry)
    paper_url = _package_module("search.index", "links to papers").paper_url
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

"""`pipeline(task, model=…)` for spectra, with the installed code instead of remote code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def pipeline(task: str, model: Any = None, **kwargs: Any) -> Any:
    """Create a pipeline for spectra; see `transformers.pipeline`.

    Args:
        task: `"spectrum-feature-extraction"`, `"spectrum-retrieval"`,
            `"zero-shot-spectrum-classification"`, `"spectrum-parameters"` or
            `"spectrum-classification"` (user labels), or a task of transformers.
        model: a run, a model folder, `user/name` on the Hub, or a model in memory (needs
            `feature_extractor=`); None or `default` for the model bundled with the package.
        kwargs: arguments of `transformers.pipeline`, and `index`, `moe`, `embedder` or `probe` of
            the pipeline class.

    Examples:
        >>> pipe = pipeline("spectrum-retrieval", model="runs/demo/model")
        >>> pipe("source.pi", top_k=3)
    """
    import transformers

    from .pipeline_specclip import TASKS
    from .trained_run import DEFAULT, find_run

    register_pipelines()
    if task in TASKS:
        local = isinstance(model, (str, os.PathLike)) and Path(model).is_dir()
        is_run = local and not Path(model, "config.json").is_file()
        if model is None or model == DEFAULT or is_run:
            model = str(find_run(model).model)
        # With a class given, transformers does not ask for the remote code of the model.
        kwargs.setdefault("pipeline_class", TASKS[task])
    create: Any = transformers.pipeline
    return create(task, model=model, **kwargs)


def register_pipelines() -> None:
    """Register the models and tasks with transformers."""
    from transformers import AutoModel
    from transformers.pipelines import PIPELINE_REGISTRY

    from .auto import register_models
    from .pipeline_specclip import TASKS

    register_models()
    for task, pipeline_class in TASKS.items():
        if task not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(task, pipeline_class, pt_model=AutoModel)


__all__ = ["pipeline", "register_pipelines"]

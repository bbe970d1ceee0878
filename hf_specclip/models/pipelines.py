"""`pipeline(task, model=…)` for spectra, by this package's code."""

from __future__ import annotations

from typing import Any


def pipeline(task: str, model: Any = None, **kwargs: Any) -> Any:
    """Make a pipeline on spectra, as `transformers.pipeline` does.

    Args:
        task: `"spectrum-feature-extraction"`, `"spectrum-retrieval"`,
            `"zero-shot-spectrum-classification"`, `"spectrum-parameters"` or
            `"spectrum-classification"` (one's own labels); other tasks are handed on to
            transformers.
        model: a model folder, `user/name` on the Hub, or a model in memory (then also
            `feature_extractor=`); None or `default` for the one bundled with the package.
        kwargs: see `transformers.pipeline`, and `index`, `moe`, `embedder` or `probe` of the task's
            class.

    Examples:
        >>> pipe = pipeline("spectrum-retrieval", model="runs/demo/model")
        >>> pipe("source.pi", top_k=3)
    """
    import transformers

    from .pipeline_specclip import TASKS
    from .trained_run import DEFAULT, find_run

    register_pipelines()
    if task in TASKS:
        if model is None or model == DEFAULT:
            model = str(find_run().model)
        # Named, so that the code saved beside the weights is not asked for.
        kwargs.setdefault("pipeline_class", TASKS[task])
    make: Any = transformers.pipeline
    return make(task, model=model, **kwargs)


def register_pipelines() -> None:
    """Register the tasks with `transformers.pipeline`; a second call does nothing."""
    from transformers import AutoModel
    from transformers.pipelines import PIPELINE_REGISTRY

    from .auto import register_models
    from .pipeline_specclip import TASKS

    register_models()
    for task, kind in TASKS.items():
        if task not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(task, pipeline_class=kind, pt_model=AutoModel)


__all__ = ["pipeline", "register_pipelines"]

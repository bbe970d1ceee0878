"""Retrieval between X-ray spectra and texts, as a module of Hugging Face `evaluate`."""

import datasets
import evaluate

from hf_specclip.evaluation import evaluate_retrieval, unique_texts

_DESCRIPTION = """\
How well X-ray spectra and the texts about their sources find each other in a shared space:
Recall@k% (k a percentage of the gallery) and median rank in both directions, with the chance level
and a 95 % interval (bootstrap over groups) beside every figure.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: embedding of each spectrum, list of D floats.
    references: embedding of its text, list of D floats.
    text_ids: string, equal where the text is the same; each text stands once in the gallery.
    groups: string, the unit of resampling (source, field, host and paper).
    ks: percentages of the gallery, by default 1, 5, 10 and 25.
    n_bootstrap: draws behind the intervals, by default 1000.
    seed: of the draws, by default 0.
    chunk_size: bounds the memory, by default 1024; the result does not depend on it.
Returns:
    For each of `spectrum_to_text` and `text_to_spectrum`: `n_queries`, `n_gallery`, and for
    `recall@k%` (0 to 1), `median_rank` and `median_rank_fraction` a dict of `value`, `low`, `high`
    and `chance`.
Examples:
    >>> import evaluate
    >>> retrieval = evaluate.load("hf_specclip/evaluation/modules/specclip_retrieval")
    >>> retrieval.add_batch(predictions=[[1, 0], [0, 1]], references=[[1, 0], [0, 1]],
    ...                     text_ids=["a", "b"], groups=["a", "b"])
    >>> retrieval.compute(ks=(50,))["spectrum_to_text"]["recall@50%"]["value"]
    1.0
"""


class SpecCLIPRetrieval(evaluate.Metric):
    """See `_DESCRIPTION`; the work is done by `hf_specclip.evaluation.evaluate_retrieval`."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("float32")),
                    "references": datasets.List(datasets.Value("float32")),
                    "text_ids": datasets.Value("string"),
                    "groups": datasets.Value("string"),
                }
            ),
        )

    def _compute(self, predictions, references, text_ids, groups, **options):
        texts, text_of_spectrum = unique_texts(references, text_ids)
        return evaluate_retrieval(predictions, texts, text_of_spectrum, groups, **options)

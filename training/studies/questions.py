"""Evaluation of the results of text queries, on a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import yaml

from hf_specclip import IndexFilter, SpecCLIPIndex, SpecCLIPModel
from hf_specclip.describe.answers import Answer, answer_question
from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.formatting import format_metric, format_with_interval
from hf_specclip.literature import EmbeddingError
from hf_specclip.search.filter import Condition, separation
from hf_specclip.search.index import GALLERY_FOLDER
from hf_specclip.search.text_queries import TextQueries
from specclip_training.engine.presets import CONFIGS
from specclip_training.reports.blocks import Paragraph, Section, Study, Table, skipped_study
from specclip_training.stages.alignment import MODEL
from specclip_training.studies.subject import Subject

TITLE = "Text queries"
QUESTIONS = CONFIGS / "questions.yaml"
# Number of results that precision is measured among.
TOP = 10
# Largest difference of an interpreted position or radius from the stated one, degrees.
_POSITION_ERROR = 1e-3
# Measures and their labels in the report.
MEASURES = {
    "kinds": "precision for source classes, catalogue classes ranked first",
    "kinds_by_similarity": "precision for source classes, similarity only",
    "conditions": "precision for numerical conditions",
    "fits": "precision for adjectives",
    "answer": "queries answered, refused or not understood correctly",
    "read": "names, positions, quantities and misspellings interpreted correctly",
}


def study_questions(subject: Subject) -> Study:
    """Measure the answers to the questions of `questions.yaml` among the sources of a split."""
    folder = subject.run.output / MODEL
    try:
        index = SpecCLIPIndex.load(folder / GALLERY_FOLDER)
        queries = TextQueries(SpecCLIPModel.from_pretrained(folder).eval(), folder=folder)
        metrics = measure_questions(
            index, queries, read_questions(), subject.split, subject.run.seed
        )
    except (FileNotFoundError, ImportError, EmbeddingError, ValueError) as error:
        return skipped_study(TITLE, f"questions could not be asked ({error})")
    return Study(metrics, [_section(metrics, subject.word)])


def read_questions() -> list[dict[str, Any]]:
    """Read the questions of `questions.yaml`, each with its `group`."""
    groups = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    return [{"group": group, **question} for group, rows in groups.items() for question in rows]


def measure_questions(
    index: SpecCLIPIndex,
    queries: TextQueries,
    questions: Sequence[Mapping[str, Any]],
    split: str,
    seed: int = 0,
) -> dict[str, Any]:
    """Run text queries and compare their results with the expected ones.

    Args:
        index: gallery of the model.
        queries: embeds its texts.
        questions: see `questions.yaml`.
        split: split whose sources are searched.
        seed: seed of the bootstrap over questions.

    Returns:
        `questions`, each with its measures; `means` by measure and group, with intervals.

    Raises:
        ValueError: for a split without sources.
    """
    where = IndexFilter(splits=(split,))
    rows = index.matching(where)
    if not len(rows):
        raise ValueError(f"the gallery has no spectra of {split}")
    sources = {
        entry.get("source_name") or entry["id"]: entry.get("class")
        for entry in (index.spectra.entries[row] for row in rows)
    }
    measured = []
    for question in questions:
        ask = partial(answer_question, index, queries, question["ask"], top_k=TOP, where=where)
        answer, plain = ask(), ask(by_class=False)
        held = sum(label in question.get("kinds", ()) for label in sources.values())
        measures = {
            "kinds": _kinds_precision(question, answer, held),
            "kinds_by_similarity": _kinds_precision(question, plain, held),
            "conditions": _share_within(index, question.get("conditions"), answer),
            "fits": _share_within(index, question.get("fits"), answer),
            "answer": _answer_is_right(question, answer),
            "read": _is_read(question, answer),
        }
        measured.append({**question, "understood": answer.question.lines(), **measures})
    return {
        "split": split,
        "sources": len(sources),
        "questions": measured,
        "means": _means(measured, seed),
    }


def _kinds_precision(question: Mapping[str, Any], answer: Answer, held: int) -> float | None:
    """Return the precision of the first ten results; None if the split has no such source."""
    if not held or "kinds" not in question:
        return None
    right = sum(hit.source_class in question["kinds"] for hit in answer.hits)
    return right / min(TOP, held, max(1, len(answer.hits)))


def _share_within(
    index: SpecCLIPIndex, ranges: Mapping[str, Sequence[float | None]] | None, answer: Answer
) -> float | None:
    """Return the share of the hits within ranges; 0 without hits, None without ranges or values."""
    if not ranges or not set(ranges) <= set(index.variables):
        return None
    if not answer.hits:
        return 0.0
    rows_of = {entry["id"]: row for row, entry in enumerate(index.spectra.entries)}
    rows = [rows_of[hit.observations[0].id] for hit in answer.hits]
    obeyed = np.ones(len(rows), bool)
    for variable, (low, high) in ranges.items():
        condition = Condition(
            variable, -np.inf if low is None else low, np.inf if high is None else high
        )
        obeyed &= condition.holds(index.values(variable)[rows])
    return float(obeyed.mean())


def _answer_is_right(question: Mapping[str, Any], answer: Answer) -> float | None:
    """Return 1 where results are given or refused as expected."""
    refusal, negated = answer.question.refusal, answer.question.negated
    return {
        "list": float(refusal is None),
        "not understood": float(refusal is not None and not negated),
        "refused": float(negated),
        "no list": float(not answer.hits),
        "either": None,
    }[question.get("answer", "list")]


def _is_read(question: Mapping[str, Any], answer: Answer) -> float | None:
    """Return 1 where names, quantities, positions and misspellings are recognised."""
    asked, checks = answer.question, []
    checks += [name in asked.unused for name in question.get("unused", ())]
    stated = [*asked.unused, *(condition.variable for condition in asked.conditions)]
    checks += [
        any(kind.replace("_", " ") in s for s in stated) for kind in question.get("quantities", ())
    ]
    if "cone" in question:
        ra, dec, radius = question["cone"]
        checks.append(
            asked.cone is not None
            and separation(*asked.cone[:2], ra, dec) < _POSITION_ERROR
            and (radius is None or abs(asked.cone[2] - radius) < _POSITION_ERROR)
        )
    if "suggests" in question:
        checks.append(any(question["suggests"] in others for others in asked.suggestions.values()))
    return float(all(checks)) if checks else None


def _means(measured: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Average each measure over all questions that have it, and over those of each group."""
    groups = list(dict.fromkeys(row["group"] for row in measured))
    means = []
    for measure in MEASURES:
        for group in (None, *groups):
            rows = [row for row in measured if group in (None, row["group"])]
            values = np.array([row[measure] for row in rows if row[measure] is not None])
            if len(values):
                bootstrap = GroupBootstrap(np.arange(len(values)), seed=seed)
                figure = bootstrap.figure(values.mean(), bootstrap.means(values))
                means.append({"measure": measure, "group": group, "n": len(values), **figure})
    return means


def _section(metrics: Mapping[str, Any], word: str) -> Section:
    means = []
    for row in metrics["means"]:
        label = MEASURES[row["measure"]] if row["group"] is None else f"– {row['group']}"
        means.append([label, str(row["n"]), format_with_interval(row)])
    listed = []
    for row in metrics["questions"]:
        cells = [format_metric(row[name], spec=".0%") for name in MEASURES]
        listed.append([row["ask"], "; ".join(row["understood"]) or "–", *cells])
    about = (
        f"{len(metrics['questions'])} queries written before the model was trained, on the "
        f"{metrics['sources']:,} {word}sources of `{metrics['split']}`. Precision is that of the "
        f"first {TOP} results, or of as many as the split contains; 95 % intervals from "
        "bootstrapping queries. Ranking catalogue classes first uses the labels of the gallery; "
        "similarity only uses the model."
    )
    tables = [Table(["measure", "queries", "mean"], means),
              Table(["query", "interpretation", *MEASURES], listed)]  # fmt: skip
    return Section(TITLE, [Paragraph(about), *tables])

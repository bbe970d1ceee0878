"""Retrieval by questions in words, measured on a finished run.

accelerate launch training/questions.py --config best --dataset DIR --output runs/best
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm.auto import tqdm

from hf_specclip import SpecCLIPModel
from hf_specclip.evaluation.bootstrap import GroupBootstrap
from hf_specclip.evaluation.roc import auc_of
from hf_specclip.formatting import format_with_interval
from hf_specclip.literature import EmbeddingError
from hf_specclip.search.text_queries import TextQueries
from specclip_training.engine.commands import Run, call
from specclip_training.engine.presets import CONFIGS
from specclip_training.reports.blocks import Paragraph, Section, Study, Table
from specclip_training.stages.alignment import MODEL
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.run_study import run_study, skipped_study, study_parser

_with_interval = partial(format_with_interval, spec=".2f")
TITLE = "Questions in words"
QUESTIONS = CONFIGS / "questions.yaml"
CLASS, ENDS, NUMBER = "class", "ends", "number"
# The ends that a number is asked at, as shares of the rows to learn from.
_LOW, _HIGH = 0.25, 0.75
RATE = "count_rate"
_WORD = "[^\\W_]"


@dataclass(frozen=True)
class Question:
    """Question in words, and the rows that answer it.

    Attributes:
        kind: `CLASS`, `ENDS` (words for either end of a variable) or `NUMBER` (its value).
        about: the class, or the variable.
        section: of a summary, that the words stand for.
        words: one question; or two, of which the difference asks for the upper half of the rows.
        told: whether texts to learn from have these very words; None for numbers.
    """

    kind: str
    about: str
    section: str
    words: tuple[str, ...]
    told: bool | None


def questions_for(train: SplitRepresentations) -> list[Question]:
    """Read the questions of `questions.yaml`, with numbers at the ends of a variable's own range.

    Args:
        train: rows to learn from: their texts and variables.
    """
    asked = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    texts = _texts(train)

    def told(words: str) -> bool:
        return bool(re.search(rf"(?<!{_WORD}){re.escape(words.lower())}(?!{_WORD})", texts))

    found = [
        Question(CLASS, name, asked["classes"]["section"], (words,), told(words))
        for name, names in asked["classes"]["names"].items()
        for words in names
    ]
    found += [
        Question(ENDS, variable, how["section"], tuple(pair), all(map(told, pair)))
        for variable, how in asked["opposites"].items()
        for pair in how["pairs"]
    ]
    for variable, how in asked["numbers"].items():
        values = _values(train, variable)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        ends = np.quantile(values, [_HIGH, _LOW])
        for wording in how["wordings"]:
            words = (wording["words"].format(end * wording.get("scale", 1.0)) for end in ends)
            found.append(Question(NUMBER, variable, how["section"], tuple(words), None))
    return found


def study_questions(
    run: Run,
    reps: Mapping[str, SplitRepresentations],
    *,
    split: str = "test",
    simulated: bool = False,
    figures: Path | None = None,
) -> Study:
    """Measure the separation of rows that answer a question from the others.

    Args:
        run: whose `model/` is asked.
        reps: by split; `train` says which words were there to learn.
        split: measured on.
        simulated: whether the rows are, which every sentence then says.
        figures: not used; every study takes it.
    """
    model = SpecCLIPModel.from_pretrained(run.output / MODEL).eval()
    queries, here = TextQueries(model, folder=run.output / MODEL), reps[split]
    questions = [
        question
        for question in questions_for(reps["train"])
        if question.section in queries.sections and _both_kinds(_answers(question, here))
    ]
    if not questions:
        return skipped_study(
            TITLE, f"{split} has no rows of which some answer a question and some do not"
        )
    try:
        points = queries.embed_prompts(
            [{question.section: words} for question in questions for words in question.words]
        )
    except (ValueError, ImportError, EmbeddingError) as error:
        return skipped_study(TITLE, f"questions could not be embedded ({error})")
    bootstrap = GroupBootstrap(here.groups, run.preset.evaluation.n_bootstrap, run.seed)
    metrics = _measure(questions, points, here, bootstrap, progress=run.is_main)
    metrics["split"] = split
    return Study(metrics, [_section(metrics, "simulated " if simulated else "")])


def _measure(
    questions: Sequence[Question],
    points: np.ndarray,
    rows: SplitRepresentations,
    bootstrap: GroupBootstrap,
    *,
    progress: bool,
) -> dict[str, Any]:
    left, areas = iter(points), []
    for question in questions:
        asked = [next(left) for _ in question.words]
        direction = asked[0] if len(asked) == 1 else asked[0] - asked[1]
        answers = _answers(question, rows)
        known = ~np.isnan(answers)
        areas.append((auc_of(rows.shared_spectrum[known] @ direction, answers[known] > 0), known))

    def all_areas(weights: np.ndarray) -> np.ndarray:
        return np.stack([area(weights[:, known]) for area, known in areas], axis=1)

    values = all_areas(np.ones((1, len(rows)), dtype=np.int64))[0]
    draws = np.full((1, len(questions)), np.nan)
    if bootstrap.n_groups > 1:
        some = tqdm(bootstrap.row_weights(), "intervals", unit="block", disable=not progress)
        draws = np.concatenate([all_areas(weights) for weights in some])

    def mean_of(places: Sequence[int]) -> dict[str, float]:
        # A draw without rows of both kinds for one of the questions says nothing of their mean.
        means = draws[:, places].mean(axis=1)
        means = means[np.isfinite(means)]
        low, high = bootstrap.interval(means) if len(means) else (np.nan, np.nan)
        value = float(values[places].mean())
        return {"value": value, "low": float(low), "high": float(high), "chance": 0.5}

    members: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        members.setdefault(_kind_of(question), []).append(place)
    return {
        "rows": len(rows),
        "questions": [
            {**asdict(question), "auc": mean_of([place])}
            for place, question in enumerate(questions)
        ],
        "means": {name: {"n": len(places), **mean_of(places)} for name, places in members.items()},
    }


def _answers(question: Question, rows: SplitRepresentations) -> np.ndarray:
    """Mark the rows that answer a question (n,): 1 or 0, nan where that is not known."""
    if question.kind == CLASS:
        known = np.array([name is not None for name in rows.classes])
        return np.where(known, rows.classes == question.about, np.nan)
    values = _values(rows, question.about)
    if not np.isfinite(values).any():
        return np.full(len(rows), np.nan)
    return np.where(np.isfinite(values), values > np.nanmedian(values), np.nan)


def _values(rows: SplitRepresentations, name: str) -> np.ndarray:
    """Return a variable of the rows, or their net count rate, which stands for brightness."""
    if name != RATE:
        return rows.targets.get(name, np.full(len(rows), np.nan))
    total, background = (
        np.array([np.sum(row) for row in rows.table[column].to_numpy(zero_copy_only=False)])
        for column in ("counts", "background_counts")
    )
    columns = (rows.table[name].to_numpy() for name in ("background_scale", "exposure"))
    scale, exposure = (np.asarray(column, np.float64) for column in columns)
    return (total - scale * background) / exposure


def _both_kinds(answers: np.ndarray) -> bool:
    return bool((answers == 1).any() and (answers == 0).any())


def _kind_of(question: Question) -> str:
    whose = "in the texts' words" if question.told else "in other words"
    return {
        CLASS: f"classes, {whose}",
        ENDS: f"high against low, {whose}",
        NUMBER: f"{question.about}, by a number",
    }[question.kind]


def _texts(rows: SplitRepresentations) -> str:
    """Join all texts of some rows in lower case, each once."""
    if "summary" not in rows.table.column_names:
        return ""
    said = {
        text
        for summary in rows.table["summary"].to_pylist()
        for text in (summary or {}).values()
        if text
    }
    return "\n".join(sorted(said)).lower()


def _section(metrics: dict[str, Any], word: str) -> Section:
    means = [
        [name, str(figure["n"]), _with_interval(figure)]
        for name, figure in metrics["means"].items()
    ]
    listed = [
        [
            question["about"],
            " / ".join(question["words"]),
            {True: "yes", False: "no", None: "–"}[question["told"]],
            _with_interval(question["auc"]),
        ]
        for question in metrics["questions"]
    ]
    return Section(
        TITLE,
        [
            Paragraph(
                f"A question is embedded as a text, and {metrics['rows']:,} {word}spectra are "
                "ranked by how close they lie. Area under the ROC curve, the chance that a "
                "spectrum that answers it lies closer than one that does not (0.5 by chance), "
                "with 95 % intervals from resampling groups. A class is asked for by name. Of a "
                "variable the upper half is asked for, by words for its two ends or by two "
                "numbers (its upper and lower quartile in `train`): the difference between the "
                "two answers ranks. A number that changes nothing gives 0.50."
            ),
            Table(["questions", "number", "mean area"], means),
            Table(["about", "question", "in training texts", "area"], listed),
        ],
    )


main = partial(run_study, "questions_study", study_questions)
options = partial(
    study_parser,
    "Measure how well a finished run answers questions in words.",
    "Leaves DIR/questions_study/: metrics.json, report.html and report.md. What is asked is\n"
    "in training/configs/questions.yaml.",
)

if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))

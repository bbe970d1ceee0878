"""Retrieval by questions in words, measured on a finished run.

accelerate launch training/questions.py --config best --dataset DIR --output runs/best
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from specclip_training.engine.commands import Run, call
from specclip_training.engine.presets import CONFIGS
from specclip_training.reports.blocks import Study
from specclip_training.studies.representations import SplitRepresentations
from specclip_training.studies.run_study import run_study, skipped_study, study_parser

TITLE = "Questions in words"
QUESTIONS = CONFIGS / "questions.yaml"


def study_questions(
    run: Run,
    reps: Mapping[str, SplitRepresentations],
    *,
    split: str = "test",
    simulated: bool = False,
    figures: Path | None = None,
) -> Study:
    """Measure the answers to the questions of `questions.yaml`."""
    return skipped_study(TITLE, "the search that answers these questions is being built")


main = partial(run_study, "questions_study", study_questions)
options = partial(
    study_parser,
    "Measure how well a finished run answers questions in words.",
    "Leaves DIR/questions_study/: metrics.json, report.html and report.md. What is asked is\n"
    "in training/configs/questions.yaml.",
)

if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))

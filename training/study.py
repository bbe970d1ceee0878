"""Command `study`: one study of a finished run.

accelerate launch training/study.py latent_space --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from hf_specclip.storage import write_json
from specclip_training.data.pairs import TrainingDataError, load_embedded_pairs
from specclip_training.engine.commands import CHECKPOINTS, call, finish, parser, start
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Study, write_report
from specclip_training.stages.alignment import MODEL
from specclip_training.stages.trials import TRIALS
from specclip_training.studies.experts.measures import MODES
from specclip_training.studies.experts.study import MOE, study_experts
from specclip_training.studies.fine_tuning import study_fine_tuning
from specclip_training.studies.latent_space import study_latent_space
from specclip_training.studies.outliers import OUTLIERS, study_outliers
from specclip_training.studies.questions import study_questions
from specclip_training.studies.representations import RunRepresentations
from specclip_training.studies.subject import Subject
from specclip_training.studies.zero_shot import study_zero_shot

# Each reads the representations of a run and writes its own artifacts.
STUDIES: dict[str, Callable[[Subject], Study]] = {
    "experts": study_experts,
    "latent_space": study_latent_space,
    "outliers": study_outliers,
    "zero_shot": study_zero_shot,
    "questions": study_questions,
}
# This one trains models of its own on the dataset, and needs no finished run.
FINE_TUNING = "fine_tuning"
# Names that a study leaves in the run beside its report, the published one first.
ARTIFACTS = {
    "experts": [MOE, *(f"{CHECKPOINTS}/{MOE}_{mode}" for mode in MODES)],
    "outliers": [OUTLIERS],
    FINE_TUNING: [TRIALS],
}
REPORTS = "studies"


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Study a finished run; write `metrics.json` and report to `OUTPUT/studies/NAME`.

    Raises:
        TrainingDataError: when the run is not finished, or the split has no rows.
    """
    name, split = arguments.study, arguments.split
    # A study of `validation` leaves what the run holds as it is.
    made = ARTIFACTS.get(name, ()) if split == "test" or name == FINE_TUNING else ()
    run = start(arguments, preset, [f"{REPORTS}/{name}", *made])
    if name in STUDIES and not (run.output / MODEL / "config.json").is_file():
        raise TrainingDataError(
            f"{run.output} has no {MODEL}/: a study needs a finished run, so run "
            "training/reproduce.py with the same --config, --dataset and --output first"
        )
    pairs = load_embedded_pairs(run)
    if not len(pairs.splits[split]):
        raise TrainingDataError(f"{pairs.name} has no rows in {split}")
    with run.stage(name) as summary:
        simulated = pairs.info.simulated
        if name == FINE_TUNING:
            result = study_fine_tuning(run, pairs, split=split, simulated=simulated)
        else:
            reps = RunRepresentations(run, pairs)
            result = STUDIES[name](Subject(run, reps, split, simulated))
        if run.is_main:
            report = run.output / REPORTS / name
            write_json(report / "metrics.json", result.metrics)
            title = f"{name.replace('_', ' ').capitalize()}, preset {preset.name}, {split}"
            title += " (simulated data)" if simulated else ""
            summary += [str(path) for path in write_report(report, title, result.sections)]
    finish(run)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        f"Study a finished run: {', '.join(STUDIES).replace('_', ' ')}; or a dataset: fine tuning.",
        """\
Writes DIR/studies/STUDY/: metrics.json, report.html and report.md; experts also DIR/moe/ (a
SpecCLIPMoEForRegression) and outliers DIR/outliers/ (a SpecCLIPOutlierDetector). Questions are
those of training/configs/questions.yaml.

  accelerate launch training/study.py latent_space --config paper --dataset DATASET \\
      --output runs/paper

fine_tuning fine-tunes the bundled model, and trains the preset from scratch, on subsets of
increasing size; trials/ keeps the trained models, and the same command resumes:
  python training/study.py fine_tuning --config best --dataset DATASET --output runs/tuning""",
    )
    names = [*STUDIES, FINE_TUNING]
    command.add_argument("study", choices=names, metavar="STUDY", help=", ".join(names))
    command.add_argument(
        "--split",
        default="test",
        choices=["validation", "test"],
        help="split to evaluate (default: %(default)s); use validation for model selection (the "
        "temperature of the zero-shot classes is fitted to it)",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))

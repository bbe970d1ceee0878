"""Ablation of a preset: its ingredients removed one at a time, measured on `validation`.

accelerate launch training/ablation.py --config best --dataset DIR --output runs/ablation

writes `ablation.json` and `ablation.md`. `test` is not read.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from hf_specclip.cli.arguments import positive_int
from hf_specclip.formatting import format_metric
from hf_specclip.storage import read_json, to_json, write_json, write_text
from specclip_training.data.pairs import PairData, embed_texts, load_run_pairs
from specclip_training.data.writers import unseen_writers
from specclip_training.engine.commands import LOGS, Run, call, finish, parser, start
from specclip_training.engine.loop import is_better
from specclip_training.engine.presets import Preset, PresetError, load_preset, read_yaml
from specclip_training.reports import blocks
from specclip_training.reports.blocks import Code, Paragraph, Section, Table, metric_title
from specclip_training.reports.run import run_facts
from specclip_training.stages.alignment import build
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import identity_of as spectrum_identity
from specclip_training.stages.pretraining import pretrain
from specclip_training.stages.trials import METRICS, TRIALS, Trial, run_trial

RESULTS, REPORT, SPECTRA = "ablation.json", "ablation.md", "spectra"
FULL = "full preset"
# Of writers that `train` lacks, where the dataset has some, and of those it has.
UNSEEN = ("unseen recall@1%", "unseen median_rank_fraction", "unseen mean_log_rank")
SEEN = ("recall@1%", "recall@5%", "median_rank_fraction", "mean_log_rank")
FIGURES = (*UNSEEN, *SEEN)
_CONFIDENCE = 0.95


def read_ablations(path: str | Path) -> dict[str, list[str]]:
    """Read ablations: a YAML file of names, each with a list of `key.path=value` settings.

    Args:
        path: a file, or the name of one in `training/configs`.

    Raises:
        PresetError: for a file that cannot be read, or holds anything else.
    """
    file, ablations = read_yaml(path)
    if not ablations:
        raise PresetError(f"{file}: write one or more names, each with a list of key=value")
    for name, settings in ablations.items():
        if not (
            isinstance(settings, list) and settings and all(isinstance(s, str) for s in settings)
        ):
            raise PresetError(f"{file}: {name!r} must have a list of key.path=value settings")
        if name == FULL:
            raise PresetError(f"{file}: {FULL!r} is the name of the preset without a change")
    return {str(name): list(settings) for name, settings in ablations.items()}


def plan(
    config: str,
    overrides: Sequence[str],
    ablations: Mapping[str, Sequence[str]],
    seed: int,
    seeds: int,
) -> list[tuple[str, Trial]]:
    """List every training: the full preset first, then each ablation, with the same seeds.

    Raises:
        PresetError: for a setting that the preset lacks, before anything is trained.
    """
    trials = []
    for name, settings in {FULL: (), **ablations}.items():
        preset = load_preset(config, [*overrides, *settings])
        changed = {key: value for key, _, value in (s.partition("=") for s in settings)}
        folder = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        digest = hashlib.sha256(json.dumps([name, changed]).encode()).hexdigest()[:6]
        trials += [
            (name, Trial(f"{folder}-{digest}-{number}", changed, number, preset))
            for number in range(seed, seed + seeds)
        ]
    return trials


def run_trials(run: Run, pairs: PairData, trials: Sequence[tuple[str, Trial]]) -> None:
    """Train the trials that are not finished; each distinct encoder is pretrained once.

    Raises:
        CheckpointError: when the folder holds trials of other settings or data.
    """
    text, embedded = None, pairs
    for number, (name, trial) in enumerate(trials, start=1):
        if trial.preset.text != text:
            text = trial.preset.text
            embedded = dataclasses.replace(pairs, texts=dataclasses.replace(pairs.texts))
            embed_texts(embedded, text, cache_dir=run.cache_dir, progress=run.is_main)
        trial_run = dataclasses.replace(run, preset=trial.preset, seed=trial.seed)
        encoder = json.dumps(to_json(spectrum_identity(trial_run, pairs)), sort_keys=True)
        folder = run.output / SPECTRA / hashlib.sha256(encoder.encode()).hexdigest()[:12]
        trial_run = dataclasses.replace(trial_run, output=folder)
        pretrain(trial_run, pairs)
        run_trial(run, embedded, trial, *build(trial_run, embedded, folder / SPECTRUM))
        run.say(f"   {number} of {len(trials)}: {name}, seed {trial.seed}")


def results_of(
    output: Path, trials: Sequence[tuple[str, Trial]], criterion: str
) -> list[dict[str, Any]]:
    """Collect the figures of the full preset and of each ablation over the seeds.

    Returns:
        One entry each: `name`, `settings`, `seeds` and `figures`, or `failed`. A figure has `mean`,
        `spread` (standard deviation over seeds) and `values`; that of an ablation also `loss` (how
        much worse it is than the full preset, mean over the seeds; negative where better) with its
        `error` (a standard error, paired by seed: a seed gives both the same start and the same
        batches). `helps` of the missing ingredient is true or false where the loss in the criterion
        has one sign in its 95 % interval (Student's t), else null.
    """
    entries, full = [], None
    for name, group in groupby(trials, key=itemgetter(0)):
        same = [trial for _, trial in group]
        contents = {t.seed: read_json(output / TRIALS / t.name / METRICS) for t in same}
        entry: dict[str, Any] = {
            "name": name, "settings": dict(same[0].settings), "seeds": list(contents)
        }  # fmt: skip
        failures = [content["failed"] for content in contents.values() if "failed" in content]
        if failures:
            entry["failed"] = failures[-1]
        else:
            measured = contents[same[0].seed]["validation"]
            names = [figure for figure in FIGURES if figure in measured]
            entry["figures"] = {figure: _figure(figure, contents, full) for figure in names}
            if "loss" in (judged := entry["figures"][criterion]):
                entry["helps"] = _verdict(judged)
        full = contents if name == FULL else full
        entries.append(entry)
    return entries


def ablation_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Write the table of a report from `ablation.json`."""
    simulated = "simulated " if metrics["simulated"] else ""
    criterion = metrics["criterion"]
    verdicts = {True: "yes", False: "**no, it harms**", None: "not significant"}
    complete = [entry["figures"] for entry in metrics["entries"] if "figures" in entry]
    names = [name for name in FIGURES if complete and name in complete[0]]
    rows = []
    for entry in metrics["entries"]:
        if "failed" in entry:
            rows.append([entry["name"], *["diverged"] * len(names), "", "yes"])
            continue
        figures = entry["figures"]
        cells = [_cell(name, figures[name]["mean"], figures[name]["spread"]) for name in names]
        judged = figures[criterion]
        loss = _cell(criterion, judged["loss"], judged["error"]) if "loss" in judged else ""
        verdict = verdicts[entry["helps"]] if "helps" in entry else ""
        rows.append([entry["name"], *cells, loss, verdict])
    head = ["ablation", *map(metric_title, names), f"worse in {metric_title(criterion)}"]
    text = (
        f"Each row is the preset `{metrics['preset']}` with one ingredient removed or replaced, "
        f"on the {simulated}`validation` split of {metrics['dataset']}: mean ± standard deviation "
        f"over {metrics['seeds']} seeds. The loss is paired by seed: mean ± standard error. An "
        f"ingredient helps when its {_CONFIDENCE:.0%} interval (Student's t) is above zero. "
        "`test` was not read."
    )
    if UNSEEN[0] in names:
        text += " Unseen figures are means over the writers that `train` lacks, each in a gallery "
        text += "of its own texts; weights were chosen by the others."
    table = Table([*head, "the ingredient helps"], rows)
    return [Section("Ablation", [Paragraph(text), table, Code(metrics["command"])])]


def _figure(
    name: str,
    contents: Mapping[int, Mapping[str, Any]],
    reference: Mapping[int, Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Summarise a figure over the seeds, and its loss against the full preset's."""
    by_seed = {seed: content["validation"][name] for seed, content in contents.items()}
    values = list(by_seed.values())
    figure = {"mean": float(np.mean(values)), "spread": _spread(values), "values": values}
    if reference is None:
        return figure
    sign = 1.0 if is_better(1, 0, name) else -1.0
    losses = [
        sign * (reference[seed]["validation"][name] - value)
        for seed, value in by_seed.items()
        if "failed" not in reference[seed]
    ]
    if losses:
        error = _spread(losses) / len(losses) ** 0.5
        figure |= {"loss": float(np.mean(losses)), "error": error, "pairs": len(losses)}
    return figure


def _verdict(judged: Mapping[str, Any]) -> bool | None:
    """Return the sign of a loss, None where its interval includes zero."""
    pairs = judged["pairs"]
    if pairs < 2:
        return None
    half_width = float(student.ppf((1 + _CONFIDENCE) / 2, pairs - 1)) * judged["error"]
    return judged["loss"] > 0 if abs(judged["loss"]) > half_width else None


def _cell(name: str, mean: float, spread: float) -> str:
    name = name.removeprefix("unseen ")
    return f"{format_metric(mean, name)} ± {format_metric(spread, name)}"


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    ablations = read_ablations(arguments.ablations)
    trials = plan(arguments.config, arguments.overrides, ablations, arguments.seed, arguments.seeds)
    run = start(arguments, preset, [TRIALS, SPECTRA, RESULTS, REPORT, LOGS])
    pairs = load_run_pairs(run)
    criterion = UNSEEN[-1] if unseen_writers(pairs) else SEEN[-1]
    with run.stage("ablation") as summary:
        run_trials(run, pairs, trials)
        metrics = {
            **run_facts(run, pairs),
            "criterion": criterion,
            "seeds": arguments.seeds,
            "entries": results_of(run.output, trials, criterion),
        }
        if run.is_main:
            write_json(run.output / RESULTS, metrics)
            report = blocks.to_markdown("Ablation", ablation_sections(metrics), run.output)
            write_text(run.output / REPORT, report)
        summary.append(f"{run.output / REPORT}, {run.output / RESULTS}")
    finish(run)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Measure the value of each ingredient of a preset by removing it.",
        """\
Trains the preset and, for each entry of --ablations, the preset with those settings, using the same
seeds. Writes ablation.md, ablation.json and trials/ to DIR. The same command resumes; more --seeds
or a longer list extend it. The comparison uses the writers that are not in `train`, or all writers
if there are none.

  accelerate launch training/ablation.py --config best --dataset DATASET --output runs/ablation""",
    )
    command.add_argument(
        "--ablations",
        default="ablations",
        metavar="YAML",
        help="named settings that remove a component (default: training/configs/ablations.yaml)",
    )
    command.add_argument(
        "--seeds",
        type=positive_int,
        default=3,
        metavar="N",
        help="runs per setting, with seeds from --seed on (default: %(default)s)",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))

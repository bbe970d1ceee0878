"""Take the ingredients of a preset away, one at a time, and see on `validation` what each is worth.

accelerate launch training/ablation.py --config best --dataset DIR --output runs/ablation

leaves `ablation.json` and `ablation.md`. `test` is not looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import t as student
from specclip_training.data.pairs import PairData, embed_texts, load_pairs, require_texts
from specclip_training.engine.commands import LOGS, Run, call, parser, start
from specclip_training.engine.grid import Trial
from specclip_training.engine.loop import is_better
from specclip_training.engine.presets import CONFIGS, Preset, PresetError, load_preset
from specclip_training.reports.blocks import Code, Paragraph, Section, Table, to_markdown
from specclip_training.stages.alignment import MODEL, build
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import identity_of as spectrum_identity
from specclip_training.stages.pretraining import pretrain
from specclip_training.sweep import (
    METRICS,
    TRIALS,
    finished,
    identity_of,
    single_process_run,
    train,
)

from hf_specclip.storage import to_json, write_json, write_text

RESULTS, REPORT, SPECTRA = "ablation.json", "ablation.md", "spectra"
WHOLE = "whole preset"
FIGURES = ("recall@1%", "recall@5%", "median_rank_fraction", "mean_log_rank")
_CONFIDENCE = 0.95


def read_ablations(path: str | Path) -> dict[str, list[str]]:
    """Read ablations: a YAML file of names, each with a list of `key.path=value` settings.

    Args:
        path: of the file, or the name of one in `training/configs`.

    Raises:
        PresetError: for a file that cannot be read, or holds anything else.
    """
    file = Path(path)
    if not file.is_file() and (CONFIGS / f"{path}.yaml").is_file():
        file = CONFIGS / f"{path}.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PresetError(f"ablations {path} cannot be read ({error})") from None
    if not isinstance(content, Mapping) or not content:
        raise PresetError(f"{file}: write one or more names, each with a list of key=value")
    for name, settings in content.items():
        if not (
            isinstance(settings, list) and settings and all(isinstance(s, str) for s in settings)
        ):
            raise PresetError(f"{file}: {name!r} must have a list of key.path=value settings")
        if name == WHOLE:
            raise PresetError(f"{file}: {WHOLE!r} is the name of the preset as it is")
    return {str(name): list(settings) for name, settings in content.items()}


def plan(
    config: str, overrides: Sequence[str], ablations: Mapping[str, Sequence[str]],
    seed: int, seeds: int,
) -> list[tuple[str, Trial]]:  # fmt: skip
    """Every training: the whole preset first, then each ablation, with the same seeds.

    Raises:
        PresetError: for a setting that the preset has not, before anything is trained.
    """
    trials = []
    for name, settings in {WHOLE: (), **ablations}.items():
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
    """Train what is not trained yet; encoders pretrained alike are pretrained once.

    Raises:
        CheckpointError: when the folder holds trials of other settings or data.
    """
    embedded: dict[str, PairData] = {}
    for place, (name, trial) in enumerate(trials, start=1):
        key = trial.preset.text.embedder
        if key not in embedded:
            own_texts = dataclasses.replace(pairs.texts)
            embedded = {key: dataclasses.replace(pairs, texts=own_texts)}
            embed_texts(embedded[key], key, cache_dir=run.cache_dir, progress=run.is_main)
        own = dataclasses.replace(run, preset=trial.preset, seed=trial.seed)
        made_from = json.dumps(to_json(spectrum_identity(own, pairs)), sort_keys=True)
        folder = run.output / SPECTRA / hashlib.sha256(made_from.encode()).hexdigest()[:12]
        own = dataclasses.replace(own, output=folder)
        pretrain(own, pairs)
        spectrum = folder / SPECTRUM
        _, _, identity = build(own, embedded[key], spectrum)
        done = finished(run.output / TRIALS / trial.name, identity_of(identity, trial))
        if not done:
            train(run, embedded[key], trial, spectrum, None)
            # The table is what is wanted; some hundred models would fill a disk.
            shutil.rmtree(run.output / TRIALS / trial.name / MODEL, ignore_errors=True)
        run.say(f"   {place} of {len(trials)}: {name}, seed {trial.seed}")


def results_of(
    output: Path, trials: Sequence[tuple[str, Trial]], criterion: str
) -> list[dict[str, Any]]:
    """For the whole preset and each ablation its figures over the seeds.

    Returns:
        One entry each: `name`, `settings`, `seeds`, and for each figure `mean`, `spread` (standard
        deviation over seeds), `values`, and except for the whole `loss` (how much worse it is than
        the whole, mean over the seeds; negative where better) with its `error` (a standard error:
        a seed gives both the same start and the same batches, so that what it does to both goes
        out); `helps` of the ingredient that is missing: true or false where the loss in the
        criterion has one sign in its 95 % interval (Student's t), null where it has not.
    """
    values: dict[str, dict[str, dict[int, float]]] = {}
    settings: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    seeds: dict[str, list[int]] = {}
    for name, trial in trials:
        content = json.loads((output / TRIALS / trial.name / METRICS).read_text(encoding="utf-8"))
        settings[name] = trial.settings
        seeds.setdefault(name, []).append(trial.seed)
        figures = values.setdefault(name, {figure: {} for figure in FIGURES})
        if "failed" in content:
            failed[name] = content["failed"]
            continue
        for figure in FIGURES:
            figures[figure][trial.seed] = content["validation"][figure]
    whole = values[WHOLE]
    entries = []
    for name, figures in values.items():
        entry: dict[str, Any] = {
            "name": name, "settings": dict(settings[name]), "seeds": seeds[name],
        }  # fmt: skip
        entries.append(entry)
        if name in failed:
            entry["failed"] = failed[name]
            continue
        entry["figures"] = {}
        for figure, by_seed in figures.items():
            found = list(by_seed.values())
            entry["figures"][figure] = {
                "mean": float(np.mean(found)), "spread": _spread(found), "values": found,
            }  # fmt: skip
            if name != WHOLE:
                sign = 1.0 if is_better(1, 0, figure) else -1.0
                both = [seed for seed in by_seed if seed in whole[figure]]
                losses = [sign * (whole[figure][seed] - by_seed[seed]) for seed in both]
                if losses:
                    error = _spread(losses) / len(losses) ** 0.5
                    entry["figures"][figure] |= {
                        "loss": float(np.mean(losses)), "error": error, "pairs": len(losses),
                    }  # fmt: skip
        judged = entry["figures"][criterion]
        if "loss" in judged:
            pairs = judged["pairs"]
            stands_out = pairs > 1 and abs(judged["loss"]) > _errors(pairs) * judged["error"]
            entry["helps"] = judged["loss"] > 0 if stands_out else None
    return entries


def ablation_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """The table for a report, from `ablation.json`."""
    simulated = "simulated " if metrics["simulated"] else ""
    rows = []
    for entry in metrics["entries"]:
        if "failed" in entry:
            rows.append([entry["name"], *["diverged"] * len(FIGURES), "", "yes"])
            continue
        cells = [_cell(figure, entry["figures"][figure]) for figure in FIGURES]
        verdict = {True: "yes", False: "**no, it harms**", None: "within the scatter"}
        judged, loss = entry["figures"][metrics["criterion"]], ""
        if "loss" in judged:
            loss = _cell(metrics["criterion"], {"mean": judged["loss"], "spread": judged["error"]})
        said = verdict[entry["helps"]] if "helps" in entry else ""
        rows.append([entry["name"], *cells, loss, said])
    shown = {figure: figure.replace("recall", "Recall").replace("_", " ") for figure in FIGURES}
    head = ["without", *shown.values(), f"worse in {shown[metrics['criterion']]}"]
    text = (
        f"Each line is the preset `{metrics['preset']}` without one ingredient, on the "
        f"{simulated}`validation` of {metrics['dataset']}: mean ± standard deviation over "
        f"{metrics['seeds']} seeds; how much worse, seed by seed: mean ± standard error. An "
        f"ingredient helps when the {_CONFIDENCE:.0%} interval of that (Student's t) is above "
        "zero. `test` was not looked at."
    )
    return [
        Section(
            "What each ingredient is worth",
            [
                Paragraph(text),
                Table([*head, "the ingredient helps"], rows),
                Code(metrics["command"]),
            ],
        )
    ]


def _cell(figure: str, found: Mapping[str, Any]) -> str:
    if figure.startswith("recall"):
        return f"{found['mean']:.1%} ± {found['spread']:.1%}"
    return f"{found['mean']:.3f} ± {found['spread']:.3f}"


def _errors(n: int) -> float:
    """Half the interval of a mean of `n` values, in its standard errors."""
    return float(student.ppf((1 + _CONFIDENCE) / 2, n - 1))


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    ablations = read_ablations(arguments.ablations)
    if arguments.only:
        unknown = sorted(set(arguments.only) - set(ablations))
        if unknown:
            raise PresetError(
                f"--only {unknown[0]!r}: the ablations are {', '.join(map(repr, ablations))}"
            )
        ablations = {name: ablations[name] for name in ablations if name in arguments.only}
    trials = plan(arguments.config, arguments.overrides, ablations, arguments.seed, arguments.seeds)
    own = preset.align.criterion
    criterion = arguments.criterion or (own if own in FIGURES else FIGURES[0])
    run = start(arguments, preset, [TRIALS, SPECTRA, RESULTS, REPORT, LOGS])
    with run.stage("data") as made:
        with run.accelerator.main_process_first():
            pairs = load_pairs(run.dataset, run.cache_dir)
        require_texts(pairs)
        made.append(", ".join(f"{name} {rows:,}" for name, rows in pairs.sizes.items()) + " rows")
    main_process = run.is_main
    alone = single_process_run(run)
    if not main_process:
        return
    with alone.stage("ablation") as made:
        run_trials(alone, pairs, trials)
        metrics = {
            "dataset": pairs.info.name if pairs.info.simulated else pairs.name,
            "dataset_fingerprint": pairs.fingerprint,
            "simulated": pairs.info.simulated,
            "preset": preset.name,
            "settings": preset.to_dict(),
            "criterion": criterion,
            "seed": arguments.seed,
            "seeds": arguments.seeds,
            "max_steps": run.max_steps,
            "command": run.command,
            "entries": results_of(run.output, trials, criterion),
        }
        write_json(run.output / RESULTS, metrics)
        report = to_markdown("Ablation", ablation_sections(metrics), run.output)
        write_text(run.output / REPORT, report)
        made.append(f"{run.output / REPORT}, {run.output / RESULTS}")


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Measure what each ingredient of a preset is worth, by leaving it out.",
        """\
Trains the preset and, for each entry of --ablations, the preset with those settings, with the same
seeds. Leaves ablation.md, ablation.json and trials/ in DIR. A rerun of the same command goes on
where the last one stopped; with more --seeds or a longer list it adds to it. It runs on one
process.

  accelerate launch training/ablation.py --config best --dataset DATASET --output runs/ablation""",
    )
    command.add_argument(
        "--ablations",
        default="ablations",
        metavar="YAML",
        help="names with the settings that take an ingredient away (default: "
        "training/configs/ablations.yaml)",
    )
    command.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="one of these names only; may be repeated",
    )
    command.add_argument(
        "--seeds",
        type=_positive,
        default=3,
        metavar="N",
        help="trainings of each, with seeds from --seed on (default: %(default)s)",
    )
    command.add_argument(
        "--criterion",
        choices=FIGURES,
        help="what says whether an ingredient helps (default: what the preset chooses checkpoints "
        f"by, where it is one of these, else {FIGURES[0]})",
    )
    return command


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))

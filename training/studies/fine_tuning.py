"""Learning curves: fine-tuning of the bundled model against training from scratch.

All trainings have the same steps, batches and early stopping (`configs/fine_tune.yaml`). Training
from scratch has the architecture and learning rate of the preset, and an encoder pretrained on the
same pairs. The weights are selected on the whole `validation` at every size; the split measured on
is read once, after all trainings.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.evaluation import GroupBootstrap, MatchRanks
from hf_specclip.evaluation.retrieval import places
from hf_specclip.formatting import format_metric, format_with_interval
from hf_specclip.models.trained_run import DEFAULT
from specclip_training.data.pairs import PairData
from specclip_training.engine.commands import Run
from specclip_training.engine.draws import Draws
from specclip_training.engine.presets import Preset, load_preset
from specclip_training.reports.blocks import Paragraph, Section, Study, Table, metric_title
from specclip_training.stages.alignment import MODEL, build
from specclip_training.stages.embedding import DatasetEmbedder
from specclip_training.stages.fine_tuning import find_start, load_start, preset_like
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.stages.pretraining import pretrain
from specclip_training.stages.trials import TRIALS, Trial, run_trial
from specclip_training.studies.measure import Sample, sample_ranks
from specclip_training.studies.pair_split import take_rows

SIZES, SEEDS = (100, 300, 1000), 3
UNTRAINED, TUNED, FROZEN, SCRATCH = (
    "bundled model", "fine-tuned", "fine-tuned, encoder frozen", "from scratch"
)  # fmt: skip
METHODS = (TUNED, SCRATCH, FROZEN)
KS = (1, 5)
FIGURES = ("recall@1%", "recall@5%", "median_rank_fraction")


def study_fine_tuning(
    run: Run, pairs: PairData, *, split: str = "test", simulated: bool = False
) -> Study:
    """Train by each of `METHODS` on parts of `train`, and measure retrieval.

    Args:
        run: its preset is that of the models from scratch; trials are kept in its `trials/`.
        pairs: with embedded texts.
        split: measured on beside `validation`.
        simulated: True for simulated rows, which the report then says.
    """
    total = len(pairs.splits["train"])
    sizes = [*(size for size in SIZES if size < total), total]
    seeds = range(run.seed, run.seed + SEEDS)
    for seed, size in product(seeds, sizes):
        part = part_of(pairs, size, seed)
        for method in METHODS:
            _train(run, part, method, size, seed)
            run.say(f"   {method}, {size:,} pairs, seed {seed}: done")
    metrics: dict[str, Any] = {"sizes": [0, *sizes], "seeds": list(seeds), "simulated": simulated}
    n_bootstrap = run.preset.evaluation.n_bootstrap
    for name in dict.fromkeys(("validation", split)):
        bootstrap = GroupBootstrap(pairs.splits[name].groups, n_bootstrap)

        def ranks(folder: Path, name: str = name) -> MatchRanks:
            embedder = DatasetEmbedder.from_pretrained(folder, pairs, run.accelerator)
            return embedder.split(name).ranks()["spectrum_to_text"]

        start = ranks(find_start(DEFAULT))
        entries = {(UNTRAINED, 0): sample_ranks([start], KS, bootstrap, np.mean)}
        for method, size in product(METHODS, sizes):
            models = [ranks(_folder(run, method, size, seed) / MODEL) for seed in seeds]
            entries[method, size] = sample_ranks(models, KS, bootstrap, np.mean)
        n = start.n_gallery
        chance = {f"recall@{k}%": float(start.chance_hits(places(k, n)).mean()) for k in KS}
        chance[FIGURES[2]] = start.chance_median() / n
        metrics[name] = _compare(entries, chance, pairs, name, bootstrap)
    names = dict.fromkeys((split, "validation"))
    return Study(metrics, [_section(metrics, name) for name in names])


def part_of(pairs: PairData, size: int, seed: int) -> PairData:
    """Return a dataset whose `train` has `size` pairs, drawn from its groups in turn.

    With the same seed, a smaller part is a subset of a larger one.
    """
    train = pairs.splits["train"]
    order = Draws(seed, "part of train", 0).permutation(len(train))
    _, group = np.unique(train.groups[order], return_inverse=True)
    turn = np.zeros(len(order), np.int64)
    for number in range(group.max() + 1):
        rows = np.flatnonzero(group == number)
        turn[rows] = np.arange(len(rows))
    rows = np.sort(order[np.argsort(turn, kind="stable")[:size]])
    digest = hashlib.sha256(rows.tobytes()).hexdigest()[:8]
    return dataclasses.replace(
        pairs,
        splits={**pairs.splits, "train": take_rows(train, rows)},
        fingerprint=f"{pairs.fingerprint}-{digest}",
    )


def _train(run: Run, pairs: PairData, method: str, size: int, seed: int) -> None:
    """Train and save one model, unless it has been trained."""
    preset, folder = _preset(run.preset, method), _folder(run, method, size, seed)
    trial = Trial(folder.name, {"pairs": size}, seed, preset)
    own = dataclasses.replace(run, preset=preset, seed=seed, output=folder)
    if method == SCRATCH:
        own.output.mkdir(parents=True, exist_ok=True)
        pretrain(own, pairs)
        built = build(own, pairs, own.output / SPECTRUM)
    else:
        built = load_start(own, pairs, find_start(DEFAULT))
    run_trial(run, pairs, trial, *built, trained=method != SCRATCH, keep_model=True)


def _preset(scratch: Preset, method: str) -> Preset:
    tuned = load_preset("fine_tune")
    if method == SCRATCH:
        align = dataclasses.replace(tuned.align, lr=scratch.align.lr, encoder_lr_scale=1.0)
        return dataclasses.replace(scratch, align=align)
    align = dataclasses.replace(tuned.align, freeze_spectrum=method == FROZEN)
    return dataclasses.replace(preset_like(find_start(DEFAULT), tuned), align=align)


def _folder(run: Run, method: str, size: int, seed: int) -> Path:
    name = method.replace(",", "").replace(" ", "-")
    return run.output / TRIALS / f"{name}-{size}-{seed}"


def _compare(
    entries: Mapping[tuple[str, int], dict[str, Sample]],
    chance: Mapping[str, float],
    pairs: PairData,
    split: str,
    bootstrap: GroupBootstrap,
) -> dict[str, Any]:
    rows = []
    for (method, size), samples in entries.items():
        row: dict[str, Any] = {"method": method, "pairs": size}
        for name in FIGURES:
            values = {"values": samples[name].seeds.tolist()}
            row[name] = bootstrap.figure(*samples[name][1:]) | values
        others = {"over_bundled": (UNTRAINED, 0), "over_scratch": (SCRATCH, size)}
        for key, other in others.items():
            if method not in (UNTRAINED, other[0]):
                one, two = samples[FIGURES[2]], entries[other][FIGURES[2]]
                row[key] = bootstrap.figure(one.value - two.value, one.draws - two.draws)
        rows.append(row)
    return {
        "spectra": len(pairs.splits[split]),
        "texts": len(pairs.texts_of(split)[0]),
        "groups": len(set(pairs.splits[split].groups.tolist())),
        "chance": dict(chance),
        "rows": rows,
    }


def _section(metrics: Mapping[str, Any], split: str) -> Section:
    measured, seeds = metrics[split], metrics["seeds"]
    word = "simulated " if metrics["simulated"] else ""
    about = (
        f"Spectrum → text on {word}`{split}`: {measured['spectra']:,} spectra, "
        f"{measured['texts']:,} texts, {measured['groups']} groups. Means over {len(seeds)} seeds "
        "(of the parts of `train`, the batches and, from scratch, the weights) with 95 % bootstrap "
        "intervals over groups. The last two columns are differences of the median rank, paired "
        "on the same draws of groups; negative values are better."
    )
    if split == "validation":
        about += " The weights were selected on it, so these figures are biased."
    rows = []
    for row in measured["rows"]:
        cells = [format_with_interval(row[name], name) for name in FIGURES]
        cells += [format_with_interval(row[name], sign="+") if name in row else ""
                  for name in ("over_bundled", "over_scratch")]  # fmt: skip
        rows.append([row["method"], f"{row['pairs']:,}", *cells])
    rows.append(["chance", "", *(format_metric(measured["chance"][n], n) for n in FIGURES), "", ""])
    head = ["model", "pairs", *map(metric_title, FIGURES), "less bundled", "less from scratch"]
    return Section(f"Fine-tuning, {split}", [Paragraph(about), Table(head, rows)])

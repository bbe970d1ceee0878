"""Bundled model: a finished run, reduced to what comes with the package.

python training/default_model.py bundle --config best --dataset DIR --output RUN

Weights become float16, the experts a compact mixture, the outlier detector and the vocabulary a
sample of theirs, the gallery real sources. The card states figures on simulated `validation` rows,
which the test of the package computes again for some of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hf_specclip import Describer
from hf_specclip.models.trained_run import BUNDLED, BUNDLED_CARD
from hf_specclip.outliers.detector import SpecCLIPOutlierDetector
from hf_specclip.search.index import GALLERY_FOLDER, SpecCLIPIndex
from hf_specclip.search.vocabulary import VOCABULARY_FOLDER, Vocabulary
from hf_specclip.storage import atomic_folder, read_json, write_json, write_text
from hf_specclip.version import __version__
from specclip_training.data.pairs import (
    PairData,
    TrainingDataError,
    load_embedded_pairs,
    load_run_pairs,
)
from specclip_training.default_gallery import build_real_gallery
from specclip_training.engine.commands import Run, call, finish, parser, start
from specclip_training.engine.presets import Preset
from specclip_training.reports.bundled import card_text
from specclip_training.stages.alignment import MODEL
from specclip_training.stages.pretraining import STAGE as SPECTRUM
from specclip_training.studies.bundled import (
    CHECK,
    drop_code,
    halve,
    least_cosine,
    measure,
    measured_columns,
    save_experts,
)
from specclip_training.studies.classifier import fit_classifier
from specclip_training.studies.experts.study import COMPACT, load_or_fit
from specclip_training.studies.outliers import OUTLIERS, K, outlier_rows
from specclip_training.studies.representations import RunRepresentations, SplitRepresentations

# Rows of `validation` that the card measures, and that the test of the package computes again.
MEASURED_ROWS, CHECKED_ROWS = 2000, 128
# Sources and trees of the outlier detector; sentences of the vocabulary.
REFERENCE_ROWS, CALIBRATION_ROWS, TREES, SENTENCES = 1500, 1500, 50, 700
MOST_BYTES = 8_000_000
# Facts of a gallery that the card repeats.
_GALLERY = ("citation", "caveat")


def bundle(run: Run, target: Path, check: Path) -> dict[str, Any]:
    """Write the bundled model of a finished run; return its card.

    Args:
        run: with `spectrum/` and `model/`; the compact experts are kept among its checkpoints.
        target: folder to make or replace.
        check: Parquet file of the reference rows for the regression test.

    Raises:
        TrainingDataError: for a run that is not finished, data that are not simulated, or a bundle
            beyond `MOST_BYTES`.
    """
    for part in (SPECTRUM, MODEL):
        if not (run.output / part / "config.json").is_file():
            raise TrainingDataError(
                f"{run.output} has no {part}/: train it first (training/reproduce.py with the same "
                "--config, --dataset and --output)"
            )
    pairs = load_embedded_pairs(run)
    if not pairs.info.simulated:
        raise TrainingDataError(f"{pairs.name} is not simulated: the bundled card would not hold")
    reps = RunRepresentations(run, pairs)
    with run.stage("compact experts"):
        experts = load_or_fit(run, reps, COMPACT)
    with run.stage("bundle") as summary, atomic_folder(target) as folder:
        _write_model(run.output / MODEL, folder)
        save_experts(experts, folder)
        _outlier_detector(reps, run.seed).save_pretrained(folder / OUTLIERS)
        for path in folder.rglob("*.safetensors"):
            halve(path)
        encoder = Describer.from_pretrained(folder, parts=())
        tables = [reps[split].table for split in ("train", "validation")]
        fit_classifier(encoder, *tables, seed=run.seed).save_pretrained(folder)
        classified = Describer.from_pretrained(folder, parts=("classes",))
        gallery = build_real_gallery(classified, folder / GALLERY_FOLDER)
        card = _card(run, pairs, reps, folder, check)
        card["gallery"] = gallery_record(gallery)
        write_json(folder / BUNDLED_CARD, card)
        write_text(folder / "README.md", card_text(card))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > MOST_BYTES:
            raise TrainingDataError(f"the bundle has {size:,} bytes, over {MOST_BYTES:,}")
        summary.append(f"{target}: {size:,} bytes")
        summary.append("its intervals hold on simulated rows: `training/transfer.py --calibrate` "
                       "makes them hold on real ones")  # fmt: skip
    return card


def classify(run: Run, target: Path, check: Path) -> dict[str, Any]:
    """Train the classifier of a bundled model again, on the dataset that the model was trained on;
    update and return the card."""
    card = read_json(target / BUNDLED_CARD)
    pairs = load_run_pairs(run)
    if pairs.fingerprint != card["training"]["fingerprint"]:
        raise TrainingDataError(f"{pairs.name} is not the dataset of {target}: see its card.json")
    train, held = (pairs.splits[split].table for split in ("train", "validation"))
    with run.stage("classifier") as summary:
        encoder = Describer.from_pretrained(target, parts=())
        classifier = fit_classifier(encoder, train, held, seed=run.seed)
        classifier.save_pretrained(target)
        build_real_gallery(
            Describer.from_pretrained(target, parts=("classes",)), target / GALLERY_FOLDER
        )
        bundled = Describer.from_pretrained(target, parts=("moe", "outliers", "classes"))
        rows = held.take(_sample(len(held), MEASURED_ROWS, card["training"]["seed"]))
        measured = measure(bundled, measured_columns(rows), card["guess"])
        card["validation"]["families"] = measured["families"]
        card["check"] = measure(bundled, pq.read_table(check), card["guess"])
        write_json(target / BUNDLED_CARD, card)
        write_text(target / "README.md", card_text(card))
        summary.append(f"{target}: classifier of {len(classifier.classes)} classes")
    return card


def _write_model(source: Path, folder: Path) -> None:
    """Copy weights, settings, classes and vocabulary of a model without its code."""
    for name in ("config.json", "processor_config.json", "model.safetensors"):
        shutil.copy(source / name, folder / name)
    shutil.copytree(source / "zero_shot", folder / "zero_shot")
    if (source / VOCABULARY_FOLDER).is_dir():
        words = Vocabulary.from_pretrained(source)
        vectors = words.vectors
        if vectors is not None and len(vectors) > SENTENCES:
            vectors = vectors[_sample(len(vectors), SENTENCES, 0)]
        Vocabulary(words.words, words.n_texts, vectors).save_pretrained(folder)
    drop_code(folder)


def _outlier_detector(
    reps: Mapping[str, SplitRepresentations], seed: int
) -> SpecCLIPOutlierDetector:
    """Fit a detector to a sample of `train`, whose invented names are left out."""
    train, held = outlier_rows(reps["train"]), outlier_rows(reps["validation"])
    train = train.take(_sample(len(train), REFERENCE_ROWS, seed))
    held = held.take(_sample(len(held), CALIBRATION_ROWS, seed))
    _, numbers = np.unique(np.asarray(train.groups, str), return_inverse=True)
    # Short names of the groups; none of them is in `validation`.
    train = dataclasses.replace(train, names=None, groups=[str(number) for number in numbers])
    held = dataclasses.replace(held, groups=None)
    return SpecCLIPOutlierDetector.fit(train, held, k=K, n_trees=TREES, seed=seed)


def _card(
    run: Run,
    pairs: PairData,
    reps: Mapping[str, SplitRepresentations],
    folder: Path,
    check: Path,
) -> dict[str, Any]:
    """Measure the bundle in a folder, write the check rows, and return the card."""
    rows = _sample(len(reps["validation"]), MEASURED_ROWS, run.seed)
    table = measured_columns(reps["validation"].table.take(rows))
    checked = table.take(_sample(len(table), CHECKED_ROWS, run.seed))
    guess = {name: float(np.nanmedian(values)) for name, values in reps["train"].targets.items()
             if np.isfinite(values).any()}  # fmt: skip
    bundled = Describer.from_pretrained(folder, parts=("moe", "outliers", "classes"))
    full = Describer.from_pretrained(run.output, parts=("moe", "classes"))
    figures = measure(bundled, table, guess)
    reduced = {"embedding_cosine": least_cosine(bundled, full, checked)}
    if full.moe is not None:
        reduced["relative_error_before"] = measure(full, table, guess)["relative_error"]
    check.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(checked, check, compression="zstd")
    return {
        "format": "specclip-bundled",
        "version": 1,
        "hf_specclip": __version__,
        "training": _training(run, pairs),
        "guess": guess,
        "validation": figures,
        "check": measure(bundled, checked, guess),
        "reduced": reduced,
    }


def gallery_record(index: SpecCLIPIndex) -> dict[str, Any]:
    """Return what the card says of the gallery."""
    return {"spectra": len(index.spectra), **{key: index.about[key] for key in _GALLERY}}


def _training(run: Run, pairs: PairData) -> dict[str, Any]:
    record = read_json(run.output / MODEL / "training.json")
    result = record["result"]
    return {
        "pairs": pairs.sizes["train"],
        "splits": pairs.sizes,
        "dataset": pairs.info.name,
        "dataset_version": pairs.info.builder_version,
        "knobs": pairs.info.knobs,
        "fingerprint": pairs.fingerprint,
        "text_model": pairs.texts.model,
        "preset": run.preset.name,
        "seed": run.seed,
        "steps": {"run": result["steps"], "best": result["best_step"]},
    }


def _sample(count: int, most: int, seed: int) -> np.ndarray:
    """Draw at most `most` of `count` rows, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 7]).choice(count, most, replace=False))


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    run = start(arguments, preset, [])
    if arguments.step == "embed":
        load_embedded_pairs(run)
    else:
        steps = {"bundle": bundle, "classify": classify}
        steps[arguments.step](run, arguments.target, arguments.check)
    finish(run)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = parser(
        "Reduce a finished run to the model that comes with the package.",
        """\
`make default-model` simulates, embeds, trains and bundles; every step can be resumed.
--output is the folder of the run.""",
    )
    command.add_argument(
        "step",
        choices=("embed", "bundle", "classify"),
        help="embed: fill the cache of sentence vectors; bundle: write the model of the run; "
        "classify: train the classifier of the bundled model again",
    )
    command.add_argument(
        "--target", type=Path, default=BUNDLED, metavar="DIR", help="folder of the bundled model"
    )
    command.add_argument(
        "--check",
        type=Path,
        default=CHECK,
        metavar="FILE",
        help="reference rows for the regression test",
    )
    return command


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))

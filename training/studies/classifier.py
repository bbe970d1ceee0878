"""Training of the bundled classifier on the labels of simulated sources.

It is trained on two versions of each spectrum, neither of which has the brightness of the simulated
source: how bright the sources of a class are follows from the selection of published sources, which
other samples do not share.

- The exposure is multiplied by a random factor within `BRIGHTNESS`.
- The spectrum is replaced by an absorbed power law with the same hardness ratios, at the counts,
  exposure and response of other rows, as spectra that are reconstructed from catalogue values have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from hf_specclip.classify.classifier import SourceClassifier
from hf_specclip.classify.families import family_matrix, family_name, fit_least_probability
from hf_specclip.classify.zero_shot import fit_temperature
from specclip_datasets.simulation.instrument import load_epochs
from specclip_datasets.tables.reconstruct import match_hardness, reconstruct_shapes
from specclip_training.studies.transfer import RATIOS, RealRows

BRIGHTNESS = (1 / 12, 12.0)
# Representations that are read; `features` are the counts in bands, from which both derive.
READ = ("embedding", "latent")
FEWEST_COUNTS = 20
ROWS, HIDDEN, STEPS, BATCH = 100_000, 64, 3_000, 1_024
RATE, DECAY, DROPOUT = 2e-3, 1e-3, 0.1
# Weight of a row: the number of rows of its family to the power of this.
BALANCE = -0.25
_BATCH = 256


def fit_classifier(
    describer: Any, train: pa.Table, held: pa.Table, seed: int = 0
) -> SourceClassifier:
    """Fit a classifier.

    Args:
        describer: the model.
        train: simulated rows of the contract with `source_class` and hardness ratios; at most
            `ROWS` are drawn.
        held: rows of other groups; both versions of them calibrate the probabilities and give the
            probability below which no class stands out.
        seed: of the draws and the start.
    """
    random = np.random.default_rng([seed, 11])
    if len(train) > ROWS:
        train = train.take(np.sort(random.choice(len(train), ROWS, replace=False)))
    inputs, labels = _versions(describer, train, random)
    classes = sorted(set(labels))
    x = np.concatenate([inputs[name] for name in READ], axis=1)
    truth = np.array([classes.index(label) for label in labels])
    network = _train(x, truth, _weights(labels), len(classes), seed)
    widths = {name: inputs[name].shape[1] for name in READ}
    fitted = SourceClassifier(
        tuple(classes), widths, x.mean(axis=0), x.std(axis=0) + 1e-6, *network,
        about={"labels": "simulated", "rows": len(train), "seed": seed},
    )  # fmt: skip
    return _calibrate(fitted, *_versions(describer, held, random))


def _versions(
    describer: Any, table: pa.Table, random: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the representations of both versions of the spectra, name -> (n, width), and the
    classes (n,)."""
    rows = RealRows.from_table(table)
    dimmed = dict(rows.spectra)
    factor = np.exp(random.uniform(*np.log(BRIGHTNESS), len(rows)))
    dimmed["exposure"] = (dimmed["exposure"] * factor).astype(np.float32)
    known, power_laws = _power_laws(rows, random)
    parts = [_represent(describer, spectra) for spectra in (dimmed, power_laws)]
    inputs = {name: np.concatenate([part[name] for part in parts]) for name in READ}
    return inputs, np.concatenate([rows.classes, rows.classes[known]])


def _calibrate(
    classifier: SourceClassifier, inputs: Mapping[str, np.ndarray], labels: np.ndarray
) -> SourceClassifier:
    """Return a classifier whose probabilities are calibrated on held-out rows."""
    known = np.isin(labels, classifier.classes)
    labels, inputs = labels[known], {name: values[known] for name, values in inputs.items()}
    logits = np.log(np.maximum(classifier.predict(inputs), 1e-12))
    truth = np.array([classifier.classes.index(label) for label in labels])
    temperature = fit_temperature(logits, truth)
    calibrated = replace(
        classifier, weight=classifier.weight / temperature, bias=classifier.bias / temperature
    )
    names, matrix = family_matrix(calibrated.classes)
    shares = calibrated.predict(inputs) @ matrix
    right = np.array(names)[shares.argmax(axis=1)] == [family_name(label) for label in labels]
    least = fit_least_probability(shares.max(axis=1), right)
    about = {**classifier.about, "calibrated_on": len(labels), "temperature": temperature}
    return replace(calibrated, least_probability=least, about=about)


def _power_laws(
    rows: RealRows, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the rows with known ratios, and power laws with these at the brightness of others."""
    ratios = np.stack([rows.targets[name] for name in RATIOS], axis=1)
    known = np.flatnonzero(np.isfinite(ratios).all(axis=1))
    epochs = random.integers(0, len(load_epochs()), len(known))
    others = random.permutation(len(rows))[: len(known)]
    counts = np.maximum(rows.net_counts[others], FEWEST_COUNTS)
    exposure = rows.spectra["exposure"][others]
    parts, order = [], []
    for epoch in range(len(load_epochs())):
        where = np.flatnonzero(epochs == epoch)
        shape = match_hardness(ratios[known[where]], epoch)
        parts.append(
            reconstruct_shapes(
                shape, random, epoch=epoch, counts=counts[where], exposure=exposure[where]
            )
        )
        order.append(where)
    places = np.argsort(np.concatenate(order))
    return known, {n: np.concatenate([part[n] for part in parts])[places] for n in parts[0]}


def _represent(describer: Any, spectra: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the representations of spectra, name -> (n, width)."""
    n = len(spectra["exposure"])
    parts = [
        describer.probe_inputs(
            {name: values[row] for name, values in spectra.items()}
            for row in range(start, min(n, start + _BATCH))
        )
        for start in range(0, n, _BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in READ}


def _weights(labels: np.ndarray) -> np.ndarray:
    """Return the weight of each row (n,), of mean 1."""
    families, codes = np.unique([family_name(label) for label in labels], return_inverse=True)
    weights = np.bincount(codes, minlength=len(families)).astype(float)[codes] ** BALANCE
    return weights / weights.mean()


def _train(
    x: np.ndarray, truth: np.ndarray, weights: np.ndarray, n_classes: int, seed: int
) -> list[np.ndarray]:
    """Train the perceptron on standardised inputs; return its weights and biases."""
    inputs = torch.from_numpy((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)).float()
    labels, importance = torch.from_numpy(truth), torch.from_numpy(weights).float()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(x.shape[1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, n_classes),
        )
        optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            batch = torch.randint(len(inputs), (BATCH,))
            losses = nn.functional.cross_entropy(
                network(inputs[batch]), labels[batch], reduction="none"
            )
            optimizer.zero_grad()
            (losses * importance[batch]).mean().backward()
            optimizer.step()
            schedule.step()
    return [tensor.detach().double().numpy() for tensor in network.parameters()]


__all__ = ["fit_classifier"]

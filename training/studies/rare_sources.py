"""Injection of rare sources at their real abundance, and their recall by each score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from hf_specclip import Describer
from hf_specclip.describe.inputs import spectrum_from_columns
from hf_specclip.describe.posterior_check import LINES, PosteriorCheck, nominal_response
from hf_specclip.outliers.detector import SpecCLIPOutlierDetector
from hf_specclip.outliers.rows import DETECTORS, OutlierRows
from hf_specclip.spectra import emission
from hf_specclip.spectra.rebin import energy_grid
from specclip_training.data.pairs import SPECTRUM

# Sources of a class among 10,000 of the catalogue with a literature: our estimate, rounded up from
# the tens of lensed quasars and tidal disruption events, and the ten pulsating ULX, among 407,806.
SCARCITY = {"LensedQ": 3, "ULX_pulsar": 1, "TDE": 3}
SUPERSOFT, STRONG_LINE, WRONG_TEXT = "supersoft source", "strong 6.4 keV line", "wrong text"
KINDS = (*SCARCITY, SUPERSOFT, STRONG_LINE, WRONG_TEXT)
INSPECTED = 0.01
# Injected spectra of a kind, and ordinary ones that are checked.
_INJECTED = 200
# A score finds a kind if its recall among the inspected is this many times chance.
TIMES_CHANCE = 10.0
CHECK = "posterior check"
_IRON = tuple(energy for name, energy in LINES.items() if "Fe K" in name or "Fe XX" in name)
_LINE_WIDTH = 1.0  # equivalent width, keV: that of a buried nucleus


def rare_source_test(
    train: OutlierRows,
    calibration: OutlierRows | None,
    rows: OutlierRows,
    *,
    table: pa.Table | None = None,
    describer: Describer | None = None,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Inject rare kinds of source among the ordinary rows of a split.

    Rare kinds are a few in 10,000, so the threshold of the inspected share is set by the ordinary
    rows, and injected sources do not influence each other. Detectors are fitted to rows with the
    rare classes at their abundance; the embedding itself was trained with more of them.

    Args:
        train: rows to fit on, with classes.
        calibration: rows for the ranks of the combined score; see the detector's `fit`.
        rows: the split, with classes.
        table: its columns, for injected spectra; without it, without an effective area, or without
            `describer`, supersoft sources and lines are left out.
        describer: with experts, for the posterior check.
        seed: of the draws.
        options: passed to `SpecCLIPOutlierDetector.fit`.

    Returns:
        kind -> `n`, `recall` (score -> share found), `best`, `found`.
    """
    random = np.random.default_rng([seed, 8])
    classes = np.asarray(rows.classes, object)
    ordinary = np.flatnonzero(~np.isin(classes, list(SCARCITY)))
    detector = SpecCLIPOutlierDetector.fit(
        thin_rare(train, random),
        None if calibration is None else thin_rare(calibration, random),
        seed=seed,
        **options,
    )
    scored = detector.score(rows).raw
    injected = {name: {d: scored[d][classes == name] for d in DETECTORS} for name in SCARCITY}
    if rows.text is not None:
        injected[WRONG_TEXT] = detector.score(_swap_texts(rows, ordinary, random)).raw
    base = {d: scored[d][ordinary] for d in DETECTORS}
    drawn = ordinary[:0]
    if table is not None and describer is not None:
        drawn = ordinary[table["effective_area"].is_valid().to_numpy()[ordinary]]
    if len(drawn):
        drawn = random.choice(drawn, min(_INJECTED, len(drawn)), replace=False)
        columns = table.select(SPECTRUM).take(drawn).to_pylist()
        base[CHECK] = check_scores(describer, columns)
        for name in (SUPERSOFT, STRONG_LINE):
            simulated = [simulate_like(row, name, random) for row in columns]
            points = OutlierRows(spectrum=describer.embed(simulated))
            near = detector.score(points).raw["spectrum_neighbours"]
            checked = check_scores(describer, simulated)
            injected[name] = {"spectrum_neighbours": near, CHECK: checked}
    return {name: _recalls(base, scores) for name, scores in injected.items()}


def thin_rare(rows: OutlierRows, random: np.random.Generator) -> OutlierRows:
    """Return the rows with the rare classes at their abundance."""
    classes = np.asarray(rows.classes, object)
    kept = ~np.isin(classes, list(SCARCITY))
    for name, count in SCARCITY.items():
        members = np.flatnonzero(classes == name)
        share = min(int(np.ceil(count * kept.sum() / 10_000)), len(members))
        kept[random.choice(members, share, replace=False)] = True
    return rows.take(kept)


def simulate_like(row: Mapping[str, Any], kind: str, random: np.random.Generator) -> dict[str, Any]:
    """Simulate a spectrum of a kind as observed with the exposure and response of a row.

    Args:
        row: columns of the data contract; counts, exposure, background and area are kept.
        kind: `SUPERSOFT` (a black body of 40–90 eV) or `STRONG_LINE` (an absorbed power law with a
            line of 1 keV equivalent width).
        random: generator.
    """
    grid = energy_grid(len(row["counts"]), (0.5, 8.0))
    edges, response = nominal_response(spectrum_from_columns(row, (0.5, 8.0)), grid)
    centres = (edges[1:] + edges[:-1]) / 2
    if kind == SUPERSOFT:
        photons = emission.black_body(edges, random.uniform(0.04, 0.09))
    else:
        photons = emission.power_law(edges, random.normal(1.8, 0.2))
        place = int(np.argmin(np.abs(centres - 6.404)))
        photons[place] += _LINE_WIDTH * photons[place] / (edges[1] - edges[0])
    photons = photons * emission.phabs(edges, 10 ** random.uniform(-2.0, -1.0))
    rate = photons @ response
    behind = float(row["background_scale"]) * np.asarray(row["background_counts"], np.float64)
    net = max(float(np.sum(row["counts"]) - behind.sum()), 20.0)
    return {**row, "counts": random.poisson(rate * (net / rate.sum()) + behind)}


def check_scores(describer: Describer, columns: list[dict[str, Any]]) -> np.ndarray:
    """Score spectra by their least likely window of an iron line, (n,); nan for those not checked.

    Windows at lower energies would rank supernova remnants first, whose lines no plasma of one
    temperature explains.
    """

    def score(check: PosteriorCheck | None) -> float:
        if check is None:
            return float("nan")
        iron = [each.p_value for each in check.lines if each.energy in _IRON]
        return -float(np.log(max(min(iron), 1e-300)))

    return np.array([score(each.check) for each in describer.describe_many(columns)])


def _swap_texts(
    rows: OutlierRows, ordinary: np.ndarray, random: np.random.Generator
) -> OutlierRows:
    with_text = ordinary[np.isfinite(np.asarray(rows.text)[ordinary]).all(axis=1)]
    chosen = random.permutation(with_text)[:_INJECTED]
    taken = rows.take(chosen)
    text = np.roll(taken.text, _INJECTED // 2, axis=0)
    return OutlierRows(spectrum=taken.spectrum, text=text, groups=taken.groups)


def _recalls(base: Mapping[str, np.ndarray], injected: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the share of the injected sources among the inspected by score, and the best score.

    A source without a score is not found.
    """
    recall = {}
    for name, scores in injected.items():
        known = base[name][np.isfinite(base[name])]
        if not np.isfinite(scores).any() or not len(known):
            continue
        # Rows that were not checked are ordinary ones that score lowest.
        share = min(INSPECTED * len(base[name]) / len(known), 1.0)
        threshold = np.quantile(known, 1.0 - share, method="higher")
        recall[name] = float((np.nan_to_num(scores, nan=-np.inf) > threshold).mean())
    best = max(recall, key=recall.__getitem__, default=None)
    n = len(next(iter(injected.values())))
    found = best is not None and recall[best] >= TIMES_CHANCE * INSPECTED
    return {"n": n, "recall": recall, "best": best, "found": found}

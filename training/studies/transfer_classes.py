"""Classes by name of real sources, beside a probe that was shown labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_specclip.classify.families import family_name, rank_classes
from hf_specclip.describe.class_check import check_class
from hf_specclip.evaluation import GroupBootstrap
from hf_specclip.evaluation.latent_probes import balanced_accuracy
from hf_specclip.evaluation.roc import weighted_figure
from hf_specclip.literature.source_classes import find_class
from specclip_datasets.tables.reconstruct import (
    match_hardness,
    reconstruct_fluxes,
    reconstruct_shapes,
)
from specclip_training.studies.transfer import RATIOS, RealRows

# Kinds that several classes of a model stand for, by family; other classes are their own.
_KINDS = {"agn": "AGN", "white_dwarf": "CV*", "neutron_star": "NS"}
COMPACT = ("LMXB", "HMXB", "CV*", "NS")
# Response, counts and largest number of sources a type of the reconstructed spectra.
EPOCH, COUNTS, MOST, SEED = 4, 300, 250, 29
# Types that are no class of their own among the typed sources.
_TYPES = {"Candidate_XB*": "XRB", "XB": "XRB"}
YANG = "Yang et al. 2022"


def kind_of(label: str) -> str:
    """Return the kind of a class: one for all active nuclei, accreting white dwarfs and isolated
    neutron stars, else the usual label."""
    known = find_class(label)
    return _KINDS.get(known.family, known.label) if known else label


def is_judged(name: str) -> bool:
    """Return True for sources of the judging half: the sha256 of the name ends in an odd digit."""
    return int(hashlib.sha256(name.encode()).hexdigest()[-1], 16) % 2 == 1


def summed(probabilities: np.ndarray, labels: Sequence[str], merged: Sequence[str]) -> np.ndarray:
    """Sum probabilities (n, C) over the labels that share a name, (n, names), in the order of the
    distinct names of `merged` (C,)."""
    names = list(dict.fromkeys(merged))
    return np.stack(
        [probabilities[:, [m == name for m in merged]].sum(axis=1) for name in names], axis=1
    )


def measure_answers(
    scores: np.ndarray, names: Sequence[str], truth: np.ndarray, n_bootstrap: int
) -> dict[str, Any]:
    """Measure the largest score as an answer.

    Args:
        scores: (n, k).
        names: (k,).
        truth: (n,) of names; a name that is not among `names` is never answered.
        n_bootstrap: draws over the sources.

    Returns:
        `n`, `accuracy`, `majority`, `balanced_accuracy` `{"value", "low", "high"}`, and `right`:
        name -> share of its sources that are answered by it, with `sources`: their number.
    """
    present = sorted(set(truth))
    right = np.array(names, dtype=object)[scores.argmax(axis=1)] == truth
    sources = {name: int((truth == name).sum()) for name in present}
    bootstrap = GroupBootstrap(np.arange(len(truth)), n_bootstrap=n_bootstrap, seed=0)
    balanced = balanced_accuracy(right, truth, present)
    return {
        "n": len(truth),
        "accuracy": float(right.mean()),
        "majority": max(sources.values()) / len(truth),
        "balanced_accuracy": weighted_figure(balanced, len(truth), bootstrap),
        "right": {name: float(right[truth == name].mean()) for name in present},
        "sources": sources,
    }


def probe_answers(
    features: np.ndarray, labels: np.ndarray, judged: np.ndarray, n_bootstrap: int
) -> dict[str, Any]:
    """Train a classifier on the ratios of other real sources, and measure it on the judged ones.

    Args:
        features: (n, f), nan where unknown.
        labels: (n,).
        judged: True for rows to measure, (n,); the others train.
        n_bootstrap: draws.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    probe = HistGradientBoostingClassifier(
        class_weight="balanced", max_iter=60, max_leaf_nodes=8, random_state=0
    )
    probe.fit(features[~judged], labels[~judged].astype(str))
    scores = probe.predict_proba(features[judged])
    return measure_answers(scores, probe.classes_.tolist(), labels[judged], n_bootstrap)


def measure_typed(describer: Any, path: str | Path, n_bootstrap: int) -> dict[str, Any]:
    """Measure families on sources of given types, spectra reconstructed from hardness ratios.

    Args:
        describer: model with classes.
        path: table with `name`, `main_type` and the three ratios.
        n_bootstrap: draws.

    Returns:
        `all_families`: the largest of all families of the model is the answer; `among_three`: of
        those that occur; `probe`: trained on the other half of the sources; `types_differ`: share
        of the sources with several detections whose types are not one, a sign that the types were
        made from the spectra.
    """
    table = pq.read_table(path, columns=["name", "main_type", *RATIOS]).to_pandas()
    several = table.groupby("name").main_type.agg(["size", "nunique"]).query("size > 1")
    table = table.dropna(subset=list(RATIOS)).sample(frac=1, random_state=SEED)
    table = table.drop_duplicates("name")
    labels = [_TYPES.get(name, name) for name in table.main_type]
    table = table[[find_class(label) is not None for label in labels]]
    judged = table.name.map(is_judged).to_numpy()
    chosen = np.concatenate([
        table[judged].groupby("main_type").head(MOST).index, table[~judged].index
    ])  # fmt: skip
    table = table.loc[chosen]
    judged = table.name.map(is_judged).to_numpy()
    truth = np.array([family_name(_TYPES.get(n, n)) for n in table.main_type], dtype=object)
    ratios = table[list(RATIOS)].to_numpy()
    told = _probabilities(describer, _reconstruct(ratios[judged]))
    return _families(describer, told, truth[judged], n_bootstrap) | {
        "probe": probe_answers(ratios, truth, judged, n_bootstrap),
        # Types of a source do not depend on the observation, those of a classifier of spectra do.
        "types_differ": {"sources": len(several), "share": float((several["nunique"] > 1).mean())},
    }


def _reconstruct(ratios: np.ndarray) -> dict[str, np.ndarray]:
    """Return spectra of absorbed power laws with hardness ratios (n, 3)."""
    random = np.random.default_rng(SEED)
    return reconstruct_shapes(match_hardness(ratios, EPOCH), random, epoch=EPOCH, counts=COUNTS)


def measure_reconstruction(
    describer: Any, table: pa.Table, families: Sequence[str], n_bootstrap: int
) -> dict[str, Any]:
    """Measure what `measure_typed` loses by its reconstruction, on simulated sources.

    A power law through three ratios has no emission lines, by which a spectrum of hot plasma (a
    star) is told from others.

    Args:
        describer: model with classes.
        table: simulated rows of the contract that the model was not trained on; the first of each
            source with `COUNTS`, give or take a half, is taken.
        families: names of those that are asked.
        n_bootstrap: draws.

    Returns:
        `own_spectra` and `reconstructed`: answers on the spectra as they are, and on absorbed power
        laws with their hardness ratios.
    """
    rows = RealRows.from_table(table)
    ratios = np.stack([rows.targets[name] for name in RATIOS], axis=1)
    truth = np.array([family_name(label) for label in rows.classes], dtype=object)
    counts = rows.spectra["counts"].sum(axis=1)
    usable = np.isin(truth, list(families)) & np.isfinite(ratios).all(axis=1)
    usable &= (counts > COUNTS / 2) & (counts < COUNTS * 3 / 2)
    candidates = np.flatnonzero(usable)
    chosen = candidates[np.unique(rows.names[candidates].astype(str), return_index=True)[1]]
    own = {name: values[chosen] for name, values in rows.spectra.items()}
    answers = {}
    for name, spectra in (("own_spectra", own), ("reconstructed", _reconstruct(ratios[chosen]))):
        told = _probabilities(describer, spectra)
        answers[name] = _families(describer, told, truth[chosen], n_bootstrap)["all_families"]
    return answers


def measure_literature_classes(describer: Any, table: pa.Table, n_bootstrap: int) -> dict[str, Any]:
    """Measure families and kinds on sources that papers classed, by their fluxes in bands.

    Args:
        describer: model with classes.
        table: of `specclip_datasets.tables.real_sources`.
        n_bootstrap: draws.

    Returns:
        `all_families`, `among_those`, `kinds` (of the eight), `agn_or_compact`, each beside a probe
        trained on the flux ratios of the other half of the sources (`…_probe`).
    """
    rows = table.to_pandas()
    rows = rows[(rows["class_from"] == YANG) & (rows["model"] == "fluxes")]
    judged = rows.name.map(is_judged).to_numpy()
    fluxes = np.stack(rows.fluxes.to_list())
    kinds = np.array([kind_of(label) for label in rows["class"]], dtype=object)
    families = np.array([family_name(label) for label in rows["class"]], dtype=object)
    spectra = reconstruct_fluxes(fluxes[judged], np.random.default_rng(SEED), epoch=EPOCH)
    features = np.log(fluxes / fluxes[:, 1:2])[:, ::2]
    probabilities, labels = told = _probabilities(describer, spectra)
    result = _families(describer, told, families[judged], n_bootstrap)
    result["families_probe"] = probe_answers(features, families, judged, n_bootstrap)
    merged = [kind_of(label) for label in labels]
    names = list(dict.fromkeys(merged))
    scores = summed(probabilities, labels, merged)
    asked = [name in set(kinds) for name in names]
    of_kinds = scores[:, asked], [name for name in names if name in set(kinds)]
    result["kinds"] = measure_answers(*of_kinds, kinds[judged], n_bootstrap)
    result["kinds_probe"] = probe_answers(features, kinds, judged, n_bootstrap)
    sides = np.array(["AGN" if k == "AGN" else "compact" if k in COMPACT else "" for k in kinds],
                     dtype=object)  # fmt: skip
    agn = scores[:, names.index("AGN")] if "AGN" in names else np.zeros(len(scores))
    compact = sum(scores[:, names.index(name)] for name in COMPACT if name in names)
    chosen = sides[judged] != ""
    result["agn_or_compact"] = measure_answers(
        np.stack([agn, compact], axis=1)[chosen], ["AGN", "compact"], sides[judged][chosen],
        n_bootstrap,
    )  # fmt: skip
    known = sides != ""
    result["agn_or_compact_probe"] = probe_answers(
        features[known], sides[known], judged[known], n_bootstrap
    )
    return result


def measure_labelled(describer: Any, rows: RealRows, n_bootstrap: int) -> dict[str, Any]:
    """Measure families on the labelled sources of the rows, the brightest detection of each.

    The probe is trained on groups that are not test groups, and judged on those that are; so is
    the model, which needs no training rows.
    """
    from specclip_datasets.tables.real_sources import class_label

    labels = np.array([class_label(name) for name in rows.classes], dtype=object)
    order = np.argsort(-rows.net_counts, kind="stable")
    _, first = np.unique(rows.names[order].astype(str), return_index=True)
    brightest = order[first]
    known = np.array([labels[row] is not None and find_class(labels[row]) is not None
                      for row in brightest])  # fmt: skip
    chosen = brightest[known]
    judged = rows.is_test[chosen]
    truth = np.array([family_name(labels[row]) for row in chosen], dtype=object)
    spectra = {name: values[chosen[judged]] for name, values in rows.spectra.items()}
    ratios = np.stack([rows.targets[name][chosen] for name in RATIOS], axis=1)
    told = _probabilities(describer, spectra)
    result = _families(describer, told, truth[judged], n_bootstrap)
    result["probe"] = probe_answers(ratios, truth, judged, n_bootstrap)
    if describer.index is not None:
        result["stands_out"]["share_in_field"] = _stand_out_in_field(
            describer, told, rows.names[chosen[judged]]
        )
    return result


def _stand_out_in_field(
    describer: Any, told: tuple[np.ndarray, list[str]], names: np.ndarray
) -> float:
    """Return the share of sources whose class stands out also where the gallery sources of the
    same field are considered, as `describe` does."""
    places = {entry["source_name"]: entry for entry in describer.index.spectra.entries}
    probabilities, labels = told
    return float(
        np.mean(
            [
                check_class(describer.classes, ranked, describer.index, places.get(name, {}))[0]
                for ranked, name in zip(rank_classes(labels, probabilities), names, strict=True)
            ]
        )
    )


def _families(
    describer: Any, told: tuple[np.ndarray, list[str]], truth: np.ndarray, n_bootstrap: int
) -> dict[str, Any]:
    """Measure families from the probabilities (n, classes) and the labels of classes."""
    probabilities, labels = told
    merged = [family_name(label) for label in labels]
    names, scores = list(dict.fromkeys(merged)), summed(probabilities, labels, merged)
    among = [name in set(truth) for name in names]
    least = describer.classes.least_probability
    result = {
        "all_families": measure_answers(scores, names, truth, n_bootstrap),
        "among_those": measure_answers(
            scores[:, among], [n for n in names if n in set(truth)], truth, n_bootstrap
        ),
    }
    stands_out = scores.max(axis=1) >= least
    result["stands_out"] = {"share": float(stands_out.mean())}
    if stands_out.any():
        right = np.array(names, dtype=object)[scores.argmax(axis=1)] == truth
        result["stands_out"]["right"] = float(right[stands_out].mean())
    return result


def _probabilities(
    describer: Any, spectra: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    n, classes = len(spectra["exposure"]), describer.classes
    parts = [
        classes.predict(
            describer.probe_inputs(
                {name: values[row] for name, values in spectra.items()}
                for row in range(start, min(n, start + 256))
            )
        )
        for start in range(0, n, 256)
    ]
    return np.concatenate(parts), list(classes.classes)

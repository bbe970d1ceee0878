"""Physical variables of a finished run: k-NN on six representations, and the mixture of experts.

accelerate launch training/experts.py --config paper --dataset DIR --output runs/paper
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from specclip_training.engine.checkpoint import TRAINING_FILE, check_identity, fingerprint
from specclip_training.engine.commands import CHECKPOINTS, Run, call, parser, prepare_output
from specclip_training.engine.presets import Preset
from specclip_training.reports.blocks import Figure, Paragraph, Section, Study, Table
from specclip_training.studies.expert_figures import plot_gate, plot_gate_by_class
from specclip_training.studies.expert_fitting import (
    FEWEST,
    ExpertData,
    FitSettings,
    SpectrumInput,
    fit_gate,
    fit_select,
)
from specclip_training.studies.measure import ERRORS, EVALUATION, write_tensors
from specclip_training.studies.representations import REPRESENTATIONS, SplitRepresentations
from specclip_training.studies.run_study import add_split, run_study

from hf_specclip import SpecCLIPMoEForRegression
from hf_specclip.evaluation import evaluate_coverage, evaluate_regression
from hf_specclip.models.configuration_specclip_moe import PANELS, VIEWS
from hf_specclip.storage import atomic_folder, write_json

STAGE = "experts"
MOE = "moe"
MODES = ("select", "gate")
COUNT_EDGES = (0, 50, 150, 500, np.inf)
_TITLES = {
    "spectrum": "spectra",
    "text": "text",
    "shared_spectrum": "shared spectra",
    "shared_text": "shared text",
    "shared_both": "shared both",
    "everything": "everything",
}
_PANEL_TITLES = {
    "full": "text given",
    "retrieved": "text missing, retrieved texts stand in",
    "without_text": "text missing, experts without text",
}


def study_experts(
    run: Run,
    reps: Mapping[str, SplitRepresentations],
    *,
    truth: Mapping[str, Any] | None = None,
    split: str = "test",
    simulated: bool = False,
    figures: Path | None = None,
) -> Study:
    """Fit both mixtures of experts and measure them; the preset's own one is left in `moe/`.

    Args:
        run: whose output folder is written to.
        reps: by split; experts learn on train and calibration, validation makes the paper's choice
            and has a say in the kind of gate, and `split` is measured on.
        truth: of simulated data, `{"truth": {variable: (n,)}, "floor": {variable: error}}` for the
            rows of `split`: the values behind the catalogue's, and the smallest mean absolute error
            that any method can have; either may be absent.
        split: measured on.
        simulated: whether the data are, for the words of the report.
        figures: folder of the figures, by default `figures` of the run.
    """
    variables = list(reps["train"].targets)
    seen = [name for name in variables if np.isfinite(reps["train"].targets[name]).sum() >= FEWEST]
    if not seen or not any(np.isfinite(reps[split].targets[name]).any() for name in seen):
        why = f"No variable is known for {FEWEST} rows of train and any of {split}."
        return Study({"skipped": why}, [Section("Physical variables", [Paragraph(why)])])
    headline = run.preset.moe.mode
    models = {mode: _fitted(run, reps, mode, headline) for mode in MODES}
    rows = reps[split]
    found = {mode: _ask(model, rows) for mode, model in models.items()}
    metrics = measure_experts(found, rows, reps["train"], headline, run.preset.evaluation
                              .n_bootstrap, truth)  # fmt: skip
    metrics |= {"split": split, "simulated": simulated, "headline": headline}
    metrics["neighbours"] = _neighbours(models["gate"])
    if run.is_main:
        save_errors(run, found, rows, split)
    figures = run.output / "figures" if figures is None else figures
    drawn = []
    if run.is_main:
        names = [expert["name"] for expert in models["gate"].config.experts or []]
        weights = found["gate"]["full"]["gate_weights"]
        drawn = [
            Figure(
                plot_gate(weights.mean(axis=0), variables, names, figures / "gate.png"),
                "Mean weight of each expert for each variable.",
            ),
        ]
        if any(label is not None for label in rows.classes):
            drawn.append(
                Figure(
                    plot_gate_by_class(
                        weights, rows.classes, variables, names,
                        figures / "gate_by_class.png",
                    ),
                    "Weight of the experts that use the text, by class of the source.",
                )
            )  # fmt: skip
    return Study(metrics, _sections(metrics, drawn, simulated))


def save_errors(
    run: Run, found: Mapping[str, Mapping[str, Any]], rows: SplitRepresentations, split: str
) -> None:
    """Keep the absolute error of each row, so that runs can be compared row by row.

    `evaluation/errors.safetensors` has `SPLIT.METHOD.VARIABLE` (n,), nan where nothing is known;
    the methods are the paper's k-NN on each representation and the two mixtures.
    """
    full = {mode: found[mode]["full"] for mode in MODES}
    said = {
        f"knn {name}": full["select"]["expert_predictions"][:, place]
        for place, name in enumerate(REPRESENTATIONS)
    }
    said |= {f"moe {mode}": full[mode]["predictions"] for mode in MODES}
    tensors = {
        f"{split}.{method}.{name}": np.abs(values[:, place] - rows.targets[name])
        for method, values in said.items()
        for place, name in enumerate(rows.targets)
    }
    write_tensors(run.output / EVALUATION / ERRORS, tensors)


def expert_data(parts: Sequence[SplitRepresentations], spectrum: str = "encoder") -> ExpertData:
    """Splits, one after the other, as the fit takes them.

    Args:
        parts: representations; splits without rows are passed over.
        spectrum: which array is the view `spectrum`: `"encoder"` or `"spectrum"`.
    """
    parts = [part for part in parts if len(part)] or list(parts[:1])
    sources = {name: spectrum if name == "spectrum" else name for name in VIEWS}

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    def columns(name: str) -> np.ndarray:
        return np.concatenate(
            [np.stack([getattr(p, name)[v] for v in p.targets], axis=1) for p in parts]
        )

    return ExpertData(
        views={view: joined(source) for view, source in sources.items()},
        section_mask=joined("section_mask"),
        targets=columns("targets"),
        lower=columns("lower"),
        upper=columns("upper"),
        groups=joined("groups"),
        text_ids=joined("text_ids"),
        feature_names=parts[0].feature_names,
    )


def measure_experts(
    found: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    rows: SplitRepresentations,
    train: SplitRepresentations,
    headline: str,
    n_bootstrap: int,
    truth: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Errors, gains, coverage and prices from what the two mixtures said.

    Args:
        found: mode -> panel -> outputs of `SpecCLIPMoEForRegression` as arrays.
        rows: what they were asked.
        train: for the median guess.
        headline: the mode that is the preset's own.
        n_bootstrap: draws behind each interval.
        truth: see `study_experts`.
    """
    names = list(rows.targets)
    wanted = np.stack([rows.targets[name] for name in names], axis=1)
    known = [np.isfinite(train.targets[name]).any() for name in names]
    guess = np.array([np.nanmedian(train.targets[n]) if k else np.nan for n, k in
                      zip(names, known, strict=True)])  # fmt: skip
    # A variable the fit saw too rarely to answer for is left out rather than guessed.
    answered = np.isfinite(found["gate"]["full"]["predictions"]).all(axis=0) & np.isfinite(guess)
    wanted[:, ~answered] = np.nan

    def score(said: np.ndarray, baseline: np.ndarray | None) -> dict[str, Any]:
        return evaluate_regression(
            said, wanted, rows.groups, variables=names, baseline=baseline, guess=guess,
            n_bootstrap=n_bootstrap,
        )  # fmt: skip

    full = {mode: panels["full"] for mode, panels in found.items()}
    single = {name: full["select"]["expert_predictions"][:, place] for place, name in
              enumerate(REPRESENTATIONS)}  # fmt: skip
    spectra = single["spectrum"]
    metrics: dict[str, Any] = {
        "knn": {name: score(said, spectra) for name, said in single.items()},
        "guess": {name: value for name, value, ok in zip(names, guess.tolist(), answered,
                                                         strict=True) if ok},
    }  # fmt: skip
    for mode in MODES:
        metrics[mode] = score(full[mode]["predictions"], spectra)
    _, chosen = _in_hindsight(full["select"]["expert_predictions"], wanted)
    metrics["select_in_hindsight"] = score(chosen, spectra)["mean_gain"]
    gate = full["gate"]["predictions"]
    metrics["gate_over_select"] = score(gate, full["select"]["predictions"])["mean_gain"]
    metrics["against_best_expert"] = _against_best(full["gate"], wanted, rows, n_bootstrap)
    metrics["missing_text"] = {
        mode: {
            panel: {
                **{key: result[key] for key in ("mean_gain", "mean_gain_over_guess")},
                # The price: how much larger the error is than with the text, as a fraction.
                "price": {k: -v for k, v in _swapped(against["mean_gain"]).items()},
            }
            for panel in PANELS[1:]
            for result in [score(found[mode][panel]["predictions"], spectra)]
            for against in [score(found[mode][panel]["predictions"], full[mode]["predictions"])]
        }
        for mode in MODES
    }
    counts = 10 ** rows.features[:, rows.feature_names.index("log_counts")] - 1
    by = {
        f"{low:g} to {high:g} counts" if np.isfinite(high) else f"over {low:g} counts":
        (counts >= low) & (counts < high)
        for low, high in pairwise(COUNT_EDGES)
    }  # fmt: skip
    metrics["coverage"] = {
        mode: {
            panel: {
                level: evaluate_coverage(
                    found[mode][panel][f"lower_{level}"], found[mode][panel][f"upper_{level}"],
                    wanted, rows.groups, variables=names, nominal=int(level) / 100, by=by,
                    n_bootstrap=n_bootstrap,
                )
                for level in ("68", "90")
            }
            for panel in PANELS
        }
        for mode in MODES
    }  # fmt: skip
    metrics["mean_weights"] = dict(zip(names, full["gate"]["gate_weights"].mean(axis=0).tolist(),
                                       strict=True))  # fmt: skip
    if truth is not None:
        metrics["truth"] = _against_truth(truth, full, names, rows, n_bootstrap)
    return metrics


def _against_best(
    output: Mapping[str, np.ndarray],
    wanted: np.ndarray,
    rows: SplitRepresentations,
    n_bootstrap: int,
) -> dict[str, Any]:
    """The gate against whichever expert turned out best on these rows, variable by variable: a
    comparison that favours the expert, which is chosen in hindsight."""
    best, chosen = _in_hindsight(output["expert_predictions"], wanted)
    result = evaluate_regression(
        output["predictions"], wanted, rows.groups, variables=list(rows.targets), baseline=chosen,
        n_bootstrap=n_bootstrap,
    )  # fmt: skip
    return {
        name: {"expert": int(place), **entry["gain"]}
        for (name, entry), place in zip(result["variables"].items(), best, strict=True)
        if "gain" in entry
    }


def _in_hindsight(said: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each variable the expert with the smallest error on these very rows, (variables,), and
    what it says of them, (n, variables).

    Args:
        said: (n, experts, variables).
        wanted: (n, variables), nan where unknown.
    """
    with np.errstate(invalid="ignore"):
        error = np.abs(said - wanted[:, None])
    known = np.isfinite(wanted).any(axis=0)
    mean = np.full(error.shape[1:], np.inf)
    mean[:, known] = np.nanmean(error[:, :, known], axis=0)
    best = mean.argmin(axis=0)
    return best, said[:, best, np.arange(said.shape[2])]


def _against_truth(
    truth: Mapping[str, Any], full: Mapping[str, Any], names: Sequence[str],
    rows: SplitRepresentations, n_bootstrap: int,
) -> dict[str, Any]:  # fmt: skip
    """Errors against the values behind the catalogue's, beside the floor."""
    behind = truth.get("truth", {})
    floor = truth.get("floor", {})
    empty = np.full(len(rows), np.nan)
    matrix = np.stack([np.asarray(behind.get(name, empty), np.float64) for name in names], axis=1)
    for mode in full:
        matrix[~np.isfinite(full[mode]["predictions"])] = np.nan
    result: dict[str, Any] = {}
    for mode, output in full.items():
        scored = evaluate_regression(
            output["predictions"], matrix, rows.groups, variables=names, n_bootstrap=n_bootstrap
        )
        result[mode] = {n: e["mae"] for n, e in scored["variables"].items() if e["n"]}
    return {**result, "floor": {n: float(floor[n]) for n in names if n in floor}}


@torch.no_grad()
def _ask(
    model: SpecCLIPMoEForRegression, rows: SplitRepresentations
) -> dict[str, dict[str, np.ndarray]]:
    """What a model says of rows, with their text and without it."""
    names = [model.config.spectrum_input, "shared_spectrum", "features"]
    bare = {name: torch.from_numpy(np.asarray(getattr(rows, name), np.float32)) for name in names}
    texts = {name: torch.from_numpy(np.asarray(getattr(rows, name), np.float32)) for name in
             ("text", "shared_text")}  # fmt: skip
    texts["section_mask"] = torch.from_numpy(rows.section_mask)
    outputs = {"full": model(**bare, **texts)}
    for panel in PANELS[1:]:
        outputs[panel] = model(**bare, without_text=panel)
    return {panel: {k: v.double().numpy() for k, v in output.items() if k != "panels"} for
            panel, output in outputs.items()}  # fmt: skip


def _fitted(
    run: Run, reps: Mapping[str, SplitRepresentations], mode: str, headline: str
) -> SpecCLIPMoEForRegression:
    """The mixture of one mode, found or fitted; the headline's folder is `moe/`."""
    folder = run.output / MOE if mode == headline else run.output / CHECKPOINTS / f"{MOE}_{mode}"
    # The paper looks at the latent before alignment, which only differs where the encoder was
    # trained along; what is to answer anywhere must do with the aligned model's.
    same = all(np.array_equal(part.spectrum, part.encoder) for part in reps.values())
    spectrum: SpectrumInput = "encoder" if same or mode == "gate" else "spectrum"
    settings = FitSettings(seed=run.seed)
    pool = expert_data([reps["train"], reps["calibration"]], spectrum)
    validation = expert_data([reps["validation"]], spectrum)
    identity = {
        "stage": STAGE,
        "mode": mode,
        "spectrum_input": spectrum,
        "settings": dataclasses.asdict(settings),
        "data": _fingerprint(pool, validation),
    }
    record = folder / TRAINING_FILE
    if record.is_file():
        check_identity(json.loads(record.read_text(encoding="utf-8"))["identity"], identity, folder)
        return SpecCLIPMoEForRegression.from_pretrained(folder).eval()
    if run.is_main:
        names = list(reps["train"].targets)
        if mode == "select":
            model = fit_select(pool, validation, names, spectrum, settings)
        else:
            model = fit_gate(pool, validation, names, spectrum, settings)
        with atomic_folder(folder) as partial:
            model.save_pretrained(partial)
            write_json(partial / TRAINING_FILE, {"identity": identity})
    run.accelerator.wait_for_everyone()
    return SpecCLIPMoEForRegression.from_pretrained(folder).eval()


def _fingerprint(*parts: ExpertData) -> str:
    tensors = {}
    for place, part in enumerate(parts):
        arrays = {**part.views, "mask": part.section_mask, "targets": part.targets,
                  "texts": part.text_ids}  # fmt: skip
        groups = np.unique(part.groups, return_inverse=True)[1].reshape(-1)
        for name, array in {**arrays, "groups": groups}.items():
            tensors[f"{place}.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
    return fingerprint(tensors)


def _neighbours(model: SpecCLIPMoEForRegression) -> dict[str, dict[str, int]]:
    """The k that was chosen, by expert and variable."""
    names, experts = model.config.variables or [], list[Any](model.experts)
    return {
        settings["name"]: dict(zip(names, expert.k.tolist(), strict=True))
        for settings, expert in zip(model.config.experts or [], experts, strict=True)
        if settings["kind"] == "neighbours"
    }


def _sections(metrics: Mapping[str, Any], drawn: list[Figure], simulated: bool) -> list[Section]:
    word = "simulated " if simulated else ""
    split = metrics["split"]
    gains = {
        "select over spectra": metrics["select"].get("mean_gain"),
        "the same, had it been chosen on this split": metrics["select_in_hindsight"],
        "gate over spectra": metrics["gate"].get("mean_gain"),
        "gate over select": metrics["gate_over_select"],
        "select over the median guess": metrics["select"].get("mean_gain_over_guess"),
        "gate over the median guess": metrics["gate"].get("mean_gain_over_guess"),
    }
    summary = Table(
        ["mean over the variables of 1 − MAE ratio", "gain", "95 % interval"],
        [[name, f"**{g['value']:.1%}**", _range(g)] for name, g in gains.items() if g],
    )
    worse = _worse(metrics)
    blocks: list[Any] = [
        Paragraph(
            f"Mean absolute errors on the {word}`{split}` split, in catalogue units. k-NN (k = 3) "
            "on six representations, as in the paper; *select* takes for each variable the "
            "representation with the smallest error on `validation` (the paper's mixture of "
            "experts); *gate* weighs stronger experts, and `validation` has a say in whether it "
            "does so row by row, alike for all, or trusts one of them. Text embeddings are those "
            "of the sections before alignment. Neighbours come from train and calibration."
        ),
        summary,
        _error_table(metrics),
        Paragraph(worse),
    ]
    sections = [Section("Physical variables", blocks)]
    if "truth" in metrics:
        sections.append(_truth_section(metrics["truth"]))
    sections += [_coverage_section(metrics, word), _price_section(metrics)]
    if drawn:
        sections.append(Section("What the gate chose", list(drawn)))
    return sections


def _error_table(metrics: Mapping[str, Any]) -> Table:
    head = ["variable", "n", "median guess", *(_TITLES[n] for n in REPRESENTATIONS), "select",
            "gate", "95 % interval", "gain over spectra", "95 % interval"]  # fmt: skip
    rows = []
    for name, entry in metrics["gate"]["variables"].items():
        if not entry["n"]:
            rows.append([name, "0", *["–"] * (len(head) - 2)])
            continue
        errors = [metrics["knn"][r]["variables"][name]["mae"]["value"] for r in REPRESENTATIONS]
        least = min(errors)
        cells = [f"**{_number(e)}**" if e == least else _number(e) for e in errors]
        gain = entry.get("gain")
        rows.append(
            [
                name,
                f"{entry['n']:,}",
                _number(entry["guess"]),
                *cells,
                _number(metrics["select"]["variables"][name]["mae"]["value"]),
                f"**{_number(entry['mae']['value'])}**",
                f"{_number(entry['mae']['low'])} to {_number(entry['mae']['high'])}",
                f"{gain['value']:.1%}" if gain else "–",
                _range(gain) if gain else "–",
            ]
        )
    return Table(head, rows)


def _worse(metrics: Mapping[str, Any]) -> str:
    """Which variables the gate answers worse than it should, beyond the interval."""
    guess = [
        name
        for name, entry in metrics["gate"]["variables"].items()
        if "gain_over_guess" in entry and entry["gain_over_guess"]["high"] < 0
    ]
    expert = [name for name, gain in metrics["against_best_expert"].items() if gain["high"] < 0]
    parts = [
        f"{'None' if not names else ', '.join(names)}: worse than {what} beyond the interval."
        for names, what in (
            (guess, "the median guess"),
            (expert, "the gate's best expert, chosen in hindsight on this split,"),
        )
    ]
    return "The gate, variable by variable. " + " ".join(parts)


def _coverage_section(metrics: Mapping[str, Any], word: str) -> Section:
    rows = []
    for mode in MODES:
        for panel in PANELS:
            found = metrics["coverage"][mode][panel]
            for level, part in found.items():
                entries = {"all": part["overall"]}
                if panel == "full":
                    entries |= part["by"]
                rows += [
                    [f"{mode}, {_PANEL_TITLES[panel]}", name, f"{level} %",
                     f"**{e['value']:.1%}**", _range(e), f"{e['n']:,}", "yes" if e["holds"] else
                     "no"]
                    for name, e in entries.items() if e
                ]  # fmt: skip
    out = [
        f"{name} ({level} %: {entry['value']:.1%})"
        for level, part in metrics["coverage"][metrics["headline"]]["full"].items()
        for name, entry in part["variables"].items()
        if entry and not entry["holds"]
    ]
    return Section(
        "Intervals",
        [
            Paragraph(
                f"How often the intervals hold the {word}catalogue value. They are cross-conformal "
                "over the groups of train and calibration, scaled by the expected error of each "
                "row. *Holds*: within 3 points of what they promise, or that is within the 95 % "
                "interval."
            ),
            Table(
                ["mixture", "rows", "promised", "measured", "95 % interval", "n", "holds"], rows
            ),
            Paragraph(
                "Variables of the preset's mixture that do not hold: "
                + (", ".join(out) or "none") + "."
            ),
        ],
    )  # fmt: skip


def _price_section(metrics: Mapping[str, Any]) -> Section:
    rows = [
        [mode, _PANEL_TITLES[panel], f"{found['mean_gain']['value']:.1%}",
         _range(found["mean_gain"]), f"**{found['price']['value']:+.1%}**",
         _range(found["price"])]
        for mode, panels in metrics["missing_text"].items()
        for panel, found in panels.items()
        if "mean_gain" in found
    ]  # fmt: skip
    return Section(
        "Without the text",
        [
            Paragraph(
                "What the error becomes when a spectrum comes alone; the price is the mean over "
                "the variables of its growth against the same mixture with the text."
            ),
            Table(
                ["mixture", "answer", "gain over spectra", "95 % interval", "price",
                 "95 % interval"], rows,
            ),
        ],
    )  # fmt: skip


def _truth_section(found: Mapping[str, Any]) -> Section:
    rows = [
        [name, _number(found["select"][name]["value"]), f"**{_number(entry['value'])}**",
         f"{_number(entry['low'])} to {_number(entry['high'])}",
         _number(found["floor"][name]) if name in found["floor"] else "–"]
        for name, entry in found["gate"].items()
    ]  # fmt: skip
    return Section(
        "Against the simulated truth",
        [
            Paragraph(
                "Mean absolute errors against the values behind the simulated catalogue, and the "
                "smallest one that any method can have."
            ),
            Table(["variable", "select", "gate", "95 % interval", "floor"], rows),
        ],
    )


def _swapped(figure: Mapping[str, float]) -> dict[str, float]:
    """Ends exchanged, for a figure whose sign is turned."""
    return {"value": figure["value"], "low": figure["high"], "high": figure["low"]}


def _range(figure: Mapping[str, float]) -> str:
    return f"{figure['low']:.1%} to {figure['high']:.1%}"


def _number(value: float) -> str:
    return f"{value:.3g}"


def main(arguments: argparse.Namespace, preset: Preset) -> None:
    """Run the command."""
    output = Path(arguments.output)
    if arguments.overwrite and output.is_dir():
        made = [MOE, *(f"{CHECKPOINTS}/{MOE}_{mode}" for mode in MODES)]
        prepare_output(output, made, overwrite=True)
    run_study(STAGE, study_experts, arguments, preset)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    command = parser(
        "Estimate the physical variables of a finished run by mixtures of experts.",
        """\
Leaves DIR/moe (a SpecCLIPMoEForRegression, for from_pretrained) and DIR/experts/: metrics.json,
report.html, report.md and figures. A rerun keeps what is fitted already.""",
    )
    add_split(command)
    return command


__all__ = ["MOE", "STAGE", "expert_data", "measure_experts", "study_experts"]


if __name__ == "__main__":
    sys.exit(call(main, options().parse_args()))

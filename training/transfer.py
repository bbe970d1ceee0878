"""Transfer of a finished model to real rows: variables, intervals, classes, outliers, texts.

    python -m specclip_training.transfer --model runs/best --dataset TABLES

The rows are real detections of a catalogue; those of `csc_semireal` have real values and real
counts in bands, redrawn inside the bands. No choice is made on them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_specclip.cli.run_command import run_command
from hf_specclip.describe.describer import Describer
from hf_specclip.describe.inputs import read_input
from hf_specclip.describe.outlier_scores import score_outliers
from hf_specclip.describe.read_dataset import split_files
from hf_specclip.models.trained_run import BUNDLED_CARD
from hf_specclip.storage import read_json, write_json, write_text
from specclip_datasets.tables.builder import LocalTables, is_tables_folder
from specclip_datasets.tables.real_sources import read_real_sources
from specclip_training.reports.blocks import Paragraph, Section, Table, to_markdown
from specclip_training.reports.bundled import card_text
from specclip_training.studies.bundled import CHECK, measure, save_experts
from specclip_training.studies.transfer import (
    JUDGED,
    RealRows,
    calibrate_intervals,
    estimates_of,
    measure_variables,
    measured_estimates,
    test_rows,
)
from specclip_training.studies.transfer_classes import (
    measure_labelled,
    measure_literature_classes,
    measure_reconstruction,
    measure_typed,
)

MODEL, MEASURED = "model", "measured and fitted"
# Classifications of the same catalogue by arXiv 2510.14102: balanced accuracies.
OTHERS = {"kinds": 0.40, "agn_or_compact": 0.69}
LADDER = """\
What the simulation is worth: three models measured on the same test groups.

  specclip dataset tables TABLES --hash-splits --output runs/real-pairs
  accelerate launch training/reproduce.py --config best --dataset SIMULATED --output runs/best
  accelerate launch training/reproduce.py --config best --dataset runs/real-pairs --output runs/real
  specclip train runs/real-pairs -o runs/tuned --from runs/best
  python -m specclip_training.transfer --model runs/best --dataset TABLES \\
      --compare real=runs/real --compare tuned=runs/tuned"""


def load_rows(name: str) -> RealRows:
    """Load all rows of a folder of tables, or of a dataset folder.

    Raises:
        FileFormatError: for a folder that is neither.
    """
    if is_tables_folder(name):
        return RealRows.from_table(LocalTables(name).detections())
    paths = [path for paths in split_files(name).values() for path in paths]
    return RealRows.from_table(pa.concat_tables([pq.read_table(path) for path in paths]))


def measure_transfer(
    describer: Describer,
    rows: RealRows,
    *,
    others: Mapping[str, Describer] | None = None,
    typed: str | Path | None = None,
    simulated: str | Path | None = None,
    n_bootstrap: int = 1000,
) -> dict[str, Any]:
    """Measure a model on real rows.

    Args:
        describer: the model, with the parts it has; what needs an absent one is left out.
        rows: real rows.
        others: further models, by name, for the variables.
        typed: table of sources with types and hardness ratios.
        simulated: dataset whose `test` rows show what the spectra of typed sources lose.
        n_bootstrap: draws behind the intervals.
    """
    test = test_rows(rows)
    result: dict[str, Any] = {}
    if describer.moe is not None:
        estimates = {MODEL: estimates_of(describer, rows.records(test))}
        for name, other in (others or {}).items():
            estimates[name] = estimates_of(other, rows.records(test))
        estimates[MEASURED] = measured_estimates(rows, test)
        result["variables"] = measure_variables(estimates, rows, n_bootstrap)
    if describer.classes is not None:
        result["classes"] = {
            "literature": measure_literature_classes(describer, read_real_sources(), n_bootstrap),
            "labelled": measure_labelled(describer, rows, n_bootstrap),
        }
        if typed is not None:
            result["classes"]["typed"] = measure_typed(describer, typed, n_bootstrap)
            if simulated is not None:
                families = list(result["classes"]["typed"]["all_families"]["right"])
                table = pq.read_table(split_files(str(simulated))["test"])
                result["classes"]["simulated"] = measure_reconstruction(
                    describer, table, families, n_bootstrap
                )
    if describer.outliers is not None:
        result["outliers"] = measure_outliers(describer, rows, test)
    return result


def measure_outliers(describer: Describer, rows: RealRows, chosen: np.ndarray) -> dict[str, float]:
    """Measure how often real spectra lie beyond percentiles of the detector's reference."""
    records = rows.records(chosen)
    energies = describer.extractor.energy_range
    n_bins = rows.spectra["counts"].shape[1]
    scores = score_outliers(
        describer.outliers,
        [read_input(record, n_bins, energies, None) for record in records],
        describer.embed(records),
        [f"\0{number}" for number in range(len(records))],
        energies,
    )
    percentile = np.array([score.percentile for score in scores])
    return {
        "rows": len(percentile),
        "median_percentile": float(np.median(percentile)),
        **{f"above_{level}": float((percentile >= level).mean()) for level in (90, 95, 99)},
    }


def sections_of(result: Mapping[str, Any]) -> list[Section]:
    """Lay the figures out for readers."""
    sections = []
    if "variables" in result:
        sections += _variable_sections(result["variables"])
    if "classes" in result:
        sections.append(_class_section(result["classes"]))
    if "outliers" in result:
        outliers = result["outliers"]
        text = ", ".join(f"{key.replace('_', ' ')}: {value:.3g}" for key, value in outliers.items())
        sections.append(Section("Outliers", [Paragraph(f"Percentiles of the reference: {text}.")]))
    return sections


def _variable_sections(variables: Mapping[str, Any]) -> list[Section]:
    methods, coverage = variables["methods"], variables["coverage"]
    head = ["variable", "rows", *(f"error, {name}" for name in methods), "rank correlation",
            "median bias", "68 %", "90 %"]  # fmt: skip
    table = []
    for name, entry in methods[MODEL]["variables"].items():
        if not entry["n"]:
            continue
        cells = [f"**{name}**" if name in JUDGED else name, str(entry["n"])]
        for method in methods.values():
            gain = method["variables"].get(name, {}).get("gain_over_guess")
            cells.append("–" if gain is None else f"{1 - gain['value']:.2f}")
        inside = [coverage[MODEL][level]["variables"].get(name) for level in (68, 90)]
        rank = entry["spearman"]
        cells += ["–" if rank is None else f"{rank:.2f}", f"{entry['median_bias']:+.3g}"]
        table.append([*cells, *("–" if e is None else f"{e['value']:.0%}" for e in inside)])
    means = []
    for method in methods.values():
        gains = [method["variables"].get(name, {}).get("gain_over_guess") for name in JUDGED]
        known = [1 - gain["value"] for gain in gains if gain is not None]
        means.append(f"{sum(known) / len(known):.2f}" if known else "–")
    table.append(["mean of those in bold", "", *means, "", "", "", ""])
    about = (
        f"{variables['rows']} rows of {variables['groups']} test groups over 150 net counts. "
        "Errors are mean absolute errors over that of the median of the other rows."
    )
    goals = [
        [name.replace("_", " "), f"{goal['value']:.3f}", "yes" if goal["met"] else "no"]
        for name, goal in variables["goals"].items()
    ]
    return [
        Section("Variables of real rows", [Paragraph(about), Table(head, table)]),
        Section(
            "Goals over the variables in bold", [Table(["figure", "value", "met"], goals)]
        ),
    ]  # fmt: skip


def _class_section(classes: Mapping[str, Any]) -> Section:
    rows = []
    for source, measured in classes.items():
        for name, figures in measured.items():
            if "balanced_accuracy" not in figures:
                continue
            balanced, other = figures["balanced_accuracy"], OTHERS.get(name)
            rows.append([
                f"{source}: {name.replace('_', ' ')}", str(figures["n"]),
                f"{balanced['value']:.2f} ({balanced['low']:.2f} to {balanced['high']:.2f})",
                f"{figures['accuracy']:.2f}", f"{figures['majority']:.2f}",
                "–" if other is None else f"{other:.2f}",
                ", ".join(f"{key} {value:.0%}" for key, value in figures["right"].items()),
            ])  # fmt: skip
    blocks = []
    if differ := classes.get("typed", {}).get("types_differ"):
        blocks.append(Paragraph(
            f"Of {differ['sources']:,} typed sources with several detections {differ['share']:.0%} "
            "have more than one type: such types are guesses from X-ray properties, no truth."
        ))  # fmt: skip
    stands_out = classes["labelled"]["stands_out"]
    if (in_field := stands_out.get("share_in_field")) is not None:
        blocks.append(Paragraph(
            f"A class stands out for {stands_out['share']:.0%} of the labelled sources, and for "
            f"{in_field:.0%} where the gallery sources of their fields are considered."
        ))  # fmt: skip
    head = ["sources: answers", "n", "balanced accuracy", "accuracy", "majority",
            "arXiv 2510.14102", "right"]  # fmt: skip
    return Section("Classes of real sources", [Table(head, rows), *blocks])


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = argparse.ArgumentParser(
        description="Evaluate a trained model on real catalogue rows.",
        epilog=LADDER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--model", required=True, metavar="RUN|HUB_ID", help="a trained model")
    command.add_argument(
        "--dataset", required=True, metavar="FOLDER", help="tables of real rows, or pairs of them"
    )
    command.add_argument(
        "--compare", action="append", default=[], metavar="NAME=RUN", help="another model (repeat)"
    )
    command.add_argument(
        "--typed", metavar="FILE", help="table of sources with main_type and hardness ratios"
    )
    command.add_argument(
        "--simulated",
        metavar="FOLDER",
        help="simulated dataset, to measure with --typed the effect of reconstructing spectra "
        "from ratios",
    )
    command.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="draws")
    command.add_argument("-o", "--output", metavar="FILE", help="also write the results as JSON")
    command.add_argument(
        "--calibrate",
        action="store_true",
        help="first calibrate the intervals of a bundled model on the rows outside the test "
        "groups; overwrites the model and its card",
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    given = options().parse_args(arguments)
    describer = Describer.from_pretrained(
        given.model, parts=("index", "moe", "classes", "outliers")
    )
    others = dict(item.partition("=")[::2] for item in given.compare)
    rows = load_rows(given.dataset)
    if given.calibrate:
        calibration = calibrate_intervals(describer, rows)
    result = measure_transfer(
        describer,
        rows,
        others={n: Describer.from_pretrained(run, parts=("moe",)) for n, run in others.items()},
        typed=given.typed,
        simulated=given.simulated,
        n_bootstrap=given.bootstrap,
    )
    sections = sections_of(result)
    print(to_markdown(f"Transfer of {given.model} to real rows", sections, Path()))
    if given.output:
        write_json(Path(given.output), result)
    if given.calibrate:
        save_experts(describer.moe, Path(given.model))
        record(Path(given.model), calibration, result["variables"])
    return 0


def record(bundle: Path, calibration: Mapping[str, int], variables: Mapping[str, Any]) -> None:
    """Write the coverage of real values into the card of the bundled model.

    What it says of intervals on simulated rows, which were others, is measured again or dropped.
    """
    card = read_json(bundle / BUNDLED_CARD)
    levels = variables["coverage"][MODEL]
    card["real"] = {
        "calibration": dict(calibration),
        "rows": variables["rows"],
        "groups": variables["groups"],
        **{f"coverage_{level}": _interval(entry["overall"]) for level, entry in levels.items()},
        "variables": {
            name: {f"coverage_{level}": entry["variables"][name]["value"]
                   for level, entry in levels.items()}
            for name in JUDGED
        },
    }  # fmt: skip
    for row in card["validation"]["variables"].values():
        for level in levels:
            row.pop(f"coverage_{level}", None)
    describer = Describer.from_pretrained(bundle, parts=("moe", "outliers", "classes"))
    card["check"] = measure(describer, pq.read_table(CHECK), card["guess"])
    write_json(bundle / BUNDLED_CARD, card)
    write_text(bundle / "README.md", card_text(card))


def _interval(figure: Mapping[str, Any]) -> dict[str, float]:
    return {key: figure[key] for key in ("value", "low", "high")}


if __name__ == "__main__":
    sys.exit(run_command("error", main))

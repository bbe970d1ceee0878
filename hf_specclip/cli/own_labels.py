"""One's own labels on the command line: their table, the spectra that it names, and the report."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import SpecCLIPError
from ..formatting import format_number, format_with_interval
from .arguments import keep_inputs, print_json
from .file_arguments import SpectrumReader
from .model_arguments import load_describer

if TYPE_CHECKING:
    from ..classify.probe import SpecCLIPProbe
    from ..describe.describer import Describer

_FILE_COLUMNS = ("file", "path", "filename", "name", "source", "source_name")
_LABEL_COLUMNS = ("label", "class", "type", "source_class")
_GROUP_RADIUS = 3.0  # arcsec, as the search at a source's position


class LabelsError(SpecCLIPError, ValueError):
    """A table of labels that cannot be used; the message names the mend."""


class Label(NamedTuple):
    """Label of a file or source, and its group where the table gives one."""

    value: str
    group: str | None


def read_labels(path: Path, target: str | None) -> dict[str, Label]:
    """Read a table of labels: file or name of a source -> label.

    Args:
        path: CSV (commas, semicolons or tabs), or a table that astropy reads by its suffix (ECSV,
            FITS, VOTable).
        target: column of a number; by default the labels are in `label`.

    Raises:
        LabelsError: for absent columns, or a file with two labels.
    """
    try:
        rows = _read_rows(path)
    except OSError:
        raise
    except Exception as error:  # the readers of these formats raise whatever they like
        reason = str(error).partition("\n")[0]
        raise LabelsError(f"{path} cannot be read as a table: {reason}") from error
    columns = {name.strip().lower(): name for name in rows[0]} if rows else {}
    file = next((columns[name] for name in _FILE_COLUMNS if name in columns), None)
    wanted = _LABEL_COLUMNS if target is None else (target.lower(),)
    label = next((columns[name] for name in wanted if name in columns), None)
    if file is None or label is None:
        asked = "label" if target is None else target
        raise LabelsError(
            f"{path} needs the columns file (or the names of sources of the index) and {asked}, "
            f"and has {', '.join(columns.values()) or 'no rows'}"
        )
    labels: dict[str, Label] = {}
    for row in rows:
        name, value = str(row.get(file) or "").strip(), str(row.get(label) or "").strip()
        if not name or value.lower() in ("", "--", "nan", "none", "null"):
            continue  # unlabelled, and counted by the caller
        beside = path.parent / name
        name = str(beside) if not Path(name).exists() and beside.exists() else name
        group = str(row.get(columns.get("group", ""), "") or "").strip() or None
        if labels.setdefault(name, Label(value, group)).value != value:
            raise LabelsError(f"{path}: {name} has two labels, {labels[name].value} and {value}")
    if not labels:
        raise LabelsError(f"{path}: no row has both {file} and {label}")
    unlabelled = len(rows) - len(labels)
    if unlabelled:
        print(f"{path}: {unlabelled:,} rows without a label, or repeated, left out")
    return labels


def _read_rows(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            head = file.readline()
            file.seek(0)
            delimiter = max("\t;,", key=head.count)
            return list(csv.DictReader(file, delimiter=delimiter))
    from astropy.table import Table

    table = Table.read(path)
    return [dict(zip(table.colnames, row, strict=True)) for row in table]


def fit_own_labels(arguments: argparse.Namespace) -> int:
    """Fit a probe to the table of the command line, save it, print its report; return the status.

    Raises:
        LabelsError, SpecCLIPProbeError: for labels that cannot be used.
    """
    from ..classify.fit_probe import fit_classes, fit_number
    from ..classify.probe import model_fingerprint

    if arguments.output is None:
        raise ValueError("--fit needs -o DIR, the folder to write the probe to")
    if arguments.files:
        raise ValueError("--fit reads the files listed in its table: give no FILE")
    keep_inputs([arguments.output], [arguments.fit])
    labels = read_labels(arguments.fit, arguments.target)
    if arguments.target is not None:
        _require_numbers(labels, arguments)
    describer = load_describer(arguments, ("index",))
    arguments.files = list(labels)
    reader = SpectrumReader(arguments, is_name=describer.has_source, expand=False)
    rows = _LabelledRows(describer, reader, labels)
    rows.read(arguments.batch_size)
    if not rows.values:
        raise LabelsError(f"{arguments.fit}: none of the {len(labels):,} files could be read")
    settings = {"name": arguments.output.name, "fingerprint": model_fingerprint(describer.model)}
    fit: Any = fit_classes if arguments.target is None else fit_number
    values: Any = rows.values if arguments.target is None else [float(v) for v in rows.values]
    groups, kind = rows.groups()
    probe = fit(rows.inputs(), values, groups, **settings)
    probe.report |= {"model": describer.name, "groups_from": kind}
    probe.save_pretrained(arguments.output)
    if arguments.json:
        print_json({"output": str(arguments.output), "classes": probe.classes, **probe.report})
    else:
        print("\n".join([*report_lines(probe), f"→ {arguments.output}"]))
    return reader.status


def _require_numbers(labels: Mapping[str, Label], arguments: argparse.Namespace) -> None:
    for name, label in labels.items():
        try:
            if math.isfinite(float(label.value)):
                continue
        except ValueError:
            pass
        raise LabelsError(
            f"{arguments.fit}: {arguments.target} of {name} is {label.value!r}, no finite number; "
            "leave it empty, or fit classes without --target"
        )


class _LabelledRows:
    """Representations of the labelled spectra, with what tells which of them are independent."""

    def __init__(self, describer: Describer, reader: SpectrumReader, labels: Mapping[str, Label]):
        self.describer, self.reader, self.labels = describer, reader, labels
        self.values: list[str] = []
        self._arrays: list[dict[str, np.ndarray]] = []
        self._given: list[str | None] = []
        self._positions: list[tuple[float, float] | None] = []
        self._names: list[str] = []

    def read(self, batch_size: int) -> None:
        """Read and embed the spectra; what has no place in the shared space is reported."""
        for batch in self.reader.batches(batch_size):
            spectra = []
            for item, origin in batch:
                if isinstance(item, str):
                    self._add_source(item)
                    continue
                reason = self.describer.reasons_to_withhold(item).get("similar")
                if reason is not None:
                    self.reader.report(ValueError(reason), origin.file)
                    continue
                spectra.append(item)
                self._add(origin.file, item.ra, item.dec, item.source_name)
            if spectra:
                arrays = self.describer.probe_inputs(spectra)
                self._arrays += [{n: v[i] for n, v in arrays.items()} for i in range(len(spectra))]

    def _add_source(self, name: str) -> None:
        """Add a source of the index, by the embedding that the index keeps."""
        index = self.describer.required_index()
        row = index.find(name)[0]
        entry = index.spectra.entries[row]
        self._add(name, *(entry.get(column) for column in ("ra", "dec", "source_name")))
        self._arrays.append({"embedding": np.asarray(index.spectra.embeddings[row])})

    def _add(self, key: str, ra: float | None, dec: float | None, name: str | None) -> None:
        label = self.labels[key]
        self.values.append(label.value)
        self._given.append(label.group)
        self._positions.append(None if ra is None or dec is None else (ra, dec))
        self._names.append(name or key)

    def inputs(self) -> dict[str, np.ndarray]:
        """Return the representations that all rows have, name -> (n, width)."""
        names = [n for n in self._arrays[0] if all(n in arrays for arrays in self._arrays)]
        return {name: np.stack([arrays[name] for arrays in self._arrays]) for name in names}

    def groups(self) -> tuple[list[str], str]:
        """Return the group of each row, and what it comes from: column, position or name."""
        if all(self._given):
            return [str(group) for group in self._given], "column group"
        if any(self._given):
            raise LabelsError(
                "the column group is empty in some rows: fill it, or leave it out so that sources "
                "are told apart by position"
            )
        groups = [f"name {name}" for name in self._names]
        rows = [row for row, position in enumerate(self._positions) if position is not None]
        if rows:
            from astropy import units as u
            from astropy.coordinates import SkyCoord, search_around_sky
            from scipy.sparse import coo_array
            from scipy.sparse.csgraph import connected_components

            sky = SkyCoord([self._positions[row] for row in rows], unit="deg")
            one, other, *_ = search_around_sky(sky, sky, _GROUP_RADIUS * u.arcsec)
            links = coo_array((np.ones(len(one)), (one, other)), shape=(len(rows), len(rows)))
            for row, component in zip(rows, connected_components(links)[1], strict=True):
                groups[row] = f"position {component}"
        kinds = ["position"] * bool(rows) + ["name"] * (len(rows) < len(groups))
        return groups, " or ".join(kinds) + " of the source"


def report_lines(probe: SpecCLIPProbe) -> list[str]:
    """Write the report of a fit as lines."""
    report = probe.report
    lines = [
        f"{report['n']:,} spectra in {report['n_groups']:,} groups ({report['groups_from']}); read "
        f"by their {', '.join(probe.inputs)}"
    ]
    lines += [
        f"left out: {label} (spectra: {of['n']}, groups: {of['n_groups']}; 5 in 3 are needed)"
        for label, of in report.get("dropped", {}).items()
    ]
    lines.append("held-out groups (95 % interval over groups):")
    if probe.classes:
        balanced, accuracy = report["balanced_accuracy"], report["accuracy"]
        guess = f"(always {report['commonest']}: {accuracy['guess']:.1%})"
        lines += [
            f"  balanced accuracy  {format_with_interval(balanced)}, guess {balanced['guess']:.1%}",
            f"  accuracy           {format_with_interval(accuracy)} {guess}",
            f"  calibration error  {report['calibration_error']:.1%} (classes of equal weight)",
        ]
    else:
        r_squared, error = report["r_squared"], report["error"]
        unit = " (log10)" if probe.log10 else ""
        lines += [
            f"  R²                 {format_with_interval(r_squared, spec='.2f')}, "
            f"median guess {r_squared['guess']:.2f}",
            f"  mean abs. error    {format_with_interval(error, spec='.3g')}{unit}, "
            f"median guess {error['guess']:.3g}",
            f"  intervals hold     {report['held_68']:.0%} (68 %) and {report['held_90']:.0%} "
            f"(90 %); half widths {format_number(probe.half_68)} and {format_number(probe.half_90)}"
            f"{unit}",
        ]
    figure = report["balanced_accuracy" if probe.classes else "r_squared"]
    if not figure["low"] > figure["guess"]:
        lines.append("  no better than a guess, as far as these labels tell")
    lines.append(f"  none of these      {report['beyond']:.1%} of the labelled spectra")
    if probe.classes:
        unknown = report["left_out"]
        lines.append(
            "  class              spectra  groups  recall"
            + "  none of these, if left out" * bool(unknown)
        )
        for name in probe.classes:
            found = f"  {unknown[name]:8.0%}" if unknown else ""
            lines.append(
                f"  {name:<18} {report['count'][name]:>7,} {report['groups'][name]:>7,}"
                f"  {report['recall'][name]:6.0%}{found}"
            )
    return lines

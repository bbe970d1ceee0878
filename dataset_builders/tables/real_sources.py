"""Table of real sources: names, positions, classes, band counts, catalogue values, papers.

    python -m specclip_datasets.tables.real_sources --detections csc_semireal \\
        --catalogue csc_catalogue --output dataset_builders/tables/real_sources.parquet

A row is a source of the Chandra Source Catalog 2.0 (Evans et al. 2010, ApJS 189, 37; 2024, ApJS
274, 22). Classes come from optical or timing studies: the compilation of Yang et al. (2022, ApJ
941, 104), or catalogues of single hosts. Sources without such a class have the type from clustering
of X-ray properties (Pérez-Díaz et al. 2024, MNRAS 528, 4852; the most frequent type of the
detections), with a question mark. Papers are listed by identifier, without titles and abstracts.

The columns `counts`, `background` (soft, medium, hard), `scale`, `exposure`, `response` and `model`
are those of the brightest detection. `model` is the model for the spectral shape within a band: a
fit of the catalogue, or an absorbed power law through the counts (`bands`) or, without counts, the
energy fluxes (`fluxes`) of the bands. It is null if only name, position and class are known.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_specclip.cli.run_command import run_command
from hf_specclip.literature.source_classes import find_class
from hf_specclip.models.variables_specclip import BANDS
from hf_specclip.storage import atomic_file

from .columns import CHANNEL_EDGES

TABLE = "real_sources.parquet"
CITATION = (
    "Chandra Source Catalog 2.0 (Evans et al. 2010, ApJS 189, 37; 2024, ApJS 274, 22); classes of "
    "Yang et al. 2022, ApJ 941, 104; types by clustering of Perez-Diaz et al. 2024, MNRAS 528, "
    "4852; paper identifiers of arXiv and ADS"
)
VALUES = (
    "hard_hm", "hard_hs", "hard_ms", "powlaw_gamma", "powlaw_nh", "bb_kt", "bb_nh", "brems_kt",
    "brems_nh", "flux_significance_b",
)  # fmt: skip
FLUXES = ("Fs", "Fm", "Fh")
MACHINE = "clustering of X-ray properties (Perez-Diaz et al. 2024)"
OWN_PAPERS, HOST_PAPERS, ALIASES, OBSERVATIONS = 4, 2, 4, 12
# Spellings of catalogues that are not in the list of classes; None for no class.
_SPELLINGS: Mapping[str, str | None] = {
    "LMXRB BURSTER": "LMXB",
    "LMXRB GLOBULAR CLUSTER": "LMXB",
    "X-RAY BINARY X-RAY PULSAR": "XRB",
    "HMXRB BE STAR X-RAY PULSAR": "HMXB",
    "UNIDENTIFIED": None,
    "GC": None,
}


def read_real_sources() -> pa.Table:
    """Read the table of this package."""
    with (resources.files("specclip_datasets.tables") / TABLE).open("rb") as file:
        return pq.read_table(file)


def class_label(name: Any) -> str | None:
    """Return the standard label of a catalogue's class, or None."""
    if not isinstance(name, str):
        return None
    name = name.strip()
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    known = find_class(name)
    return known.label if known else name


def collect_sources(detections: Path, catalogue: Path) -> list[dict[str, Any]]:
    """Collect the sources of the tables, one row each, by right ascension.

    Args:
        detections: folder with `detections.parquet` and `sources.parquet`.
        catalogue: folder with `csc20_observations`, `simbad_types` and `literature_classes`,
            `.parquet`.
    """
    sources: dict[str, dict[str, Any]] = {}

    def source(row: Mapping[str, Any], name: str = "name") -> dict[str, Any]:
        return sources.setdefault(row[name], {"name": row[name], "obsids": set(), "papers": []})

    for row in _rows(detections / "detections.parquet"):
        entry = source(row)
        entry["obsids"].add(row["obsid"])
        entry.setdefault("ra", row["ra"])
        entry.setdefault("dec", row["dec"])
        spectrum = _spectrum(row)
        if sum(spectrum["counts"]) > sum(entry.get("counts") or [0]):
            entry.update(spectrum)
    for row in _rows(detections / "sources.parquet"):
        source(row).update(_literature(row))
    _add_types(catalogue, source)
    for entry in sources.values():
        entry["obsids"] = sorted(entry["obsids"])[:OBSERVATIONS]
    return sorted(sources.values(), key=lambda entry: (entry["ra"], entry["name"]))


def _spectrum(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts in bands of a detection, its values and the model of its shape."""
    model = row["shape_from"].removeprefix("fit:")
    return {
        "obsid": row["obsid"],
        "counts": _band_counts(row["pi_counts"]),
        "background": _band_counts(row["pi_background"]),
        "scale": row["background_scale"],
        "exposure": row["livetime"],
        "response": row["response"],
        "model": model,
        **{name: row[name] for name in VALUES},
    }


def _band_counts(counts: Iterable[int]) -> list[int]:
    middle = (CHANNEL_EDGES[1:] + CHANNEL_EDGES[:-1]) / 2
    values = np.asarray(counts)
    return [
        int(values[(middle > low) & (middle < high)].sum())
        for low, high in (BANDS[name] for name in "smh")
    ]


def _literature(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return names, host, class and identifiers of papers of a source."""
    own = [paper for paper in row["papers"] if paper["about"] == "source"]
    others = [paper for paper in row["papers"] if paper["about"] != "source" and paper["xray"]]
    own.sort(key=lambda paper: not paper["xray"])
    papers = [("source", paper) for paper in own[:OWN_PAPERS]]
    papers += [("host", paper) for paper in others[:HOST_PAPERS]]
    label = class_label(row["source_class"])
    names = [" ".join(name.split()) for name in row["aliases"] if not name.startswith("[")]
    return {
        "aliases": names[:ALIASES],
        "host": host_name(row["host"]),
        "class": label,
        "class_from": "catalogues of hosts" if label else None,
        "papers": [{"id": paper["id"], "about": about} for about, paper in papers],
    }


def host_name(name: str | None) -> str | None:
    """Return the standard form of a host's name, such as `NGC 253` for `NGC0253`."""
    if not name:
        return None
    for catalogue in ("NGC", "IC"):
        number = name.removeprefix(catalogue).strip()
        if name.startswith(catalogue) and number.isdigit():
            return f"{catalogue} {int(number)}"
    return " ".join(name.split())


def _add_types(catalogue: Path, source: Any) -> None:
    """Add the sources and classes of the tables of the catalogue; earlier classes stay."""
    for row in _rows(catalogue / "literature_classes.parquet"):
        entry = source(row, "CSCv2_name")
        where = {"ra": row["CSCv2_RA"], "dec": row["CSCv2_DEC"]}
        _add_identity(entry, where, row["True_Class"], "Yang et al. 2022")
        bibcode, alias = row["Class_ref"], " ".join((row["Catalog_name"] or "").split())
        if len(bibcode) == 19 and bibcode[:4].isdigit():
            entry["papers"].append({"id": bibcode, "about": "class"})
        if alias and alias not in entry.setdefault("aliases", []):
            entry["aliases"].append(alias)
        if "model" not in entry:
            entry.update(model="fluxes", fluxes=[row[name] for name in FLUXES])
    types: dict[str, Counter[str]] = {}
    for row in _rows(catalogue / "simbad_types.parquet"):
        types.setdefault(row["name"], Counter())[row["main_type"]] += 1
        _add_identity(source(row), row, None, None)
    for name, counter in types.items():
        label = class_label(counter.most_common(1)[0][0])
        _add_identity(source({"name": name}), {}, f"{label}?", MACHINE)
    columns = ["name", "ra", "dec", "obsid"]
    for row in _rows(catalogue / "csc20_observations.parquet", columns):
        _add_identity(source(row), row, None, None)


def _add_identity(
    entry: dict[str, Any], row: Mapping[str, Any], name: str | None, where: str | None
) -> None:
    if "ra" in row:
        entry.setdefault("ra", row["ra"])
        entry.setdefault("dec", row["dec"])
    if "obsid" in row:
        entry["obsids"].add(row["obsid"])
    label = name if where == MACHINE else class_label(name)
    if label and not entry.get("class"):
        entry.update({"class": label, "class_from": where})


def _rows(path: Path, columns: list[str] | None = None) -> Iterable[dict[str, Any]]:
    file = pq.ParquetFile(path)
    for batch in file.iter_batches(2_000, columns=columns):
        yield from batch.to_pylist()


def schema() -> pa.Schema:
    """Return the columns of the table."""
    text, real, whole = pa.string(), pa.float32(), pa.int32()
    paper = pa.struct([("id", text), ("about", text)])
    fields = [
        ("name", text), ("aliases", pa.list_(text)), ("ra", pa.float64()), ("dec", pa.float64()),
        ("host", text), ("class", text), ("class_from", text), ("papers", pa.list_(paper)),
        ("obsids", pa.list_(whole)), ("obsid", whole), ("exposure", real), ("response", text),
        ("counts", pa.list_(whole)), ("background", pa.list_(whole)), ("scale", real),
        ("model", text), ("fluxes", pa.list_(pa.float64())), *((name, real) for name in VALUES),
    ]  # fmt: skip
    return pa.schema(fields, metadata={"citation": CITATION})


def write_real_sources(detections: Path, catalogue: Path, output: Path) -> pa.Table:
    """Write the table of real sources, and return it."""
    rows = collect_sources(detections, catalogue)
    for row in rows:
        row["ra"], row["dec"] = round(row["ra"], 6), round(row["dec"], 6)
        for name in (*VALUES, "exposure", "scale"):
            value = row.get(name)
            # Four digits: the errors of the catalogue are larger.
            row[name] = None if value is None or value != value else float(f"{value:.4g}")
    table = pa.Table.from_pylist(rows, schema())
    with atomic_file(output) as partial:
        pq.write_table(table, partial, compression="zstd", compression_level=19)
    return table


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write the table of real sources.")
    parser.add_argument("--detections", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--catalogue", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name(TABLE))
    options = parser.parse_args()
    table = write_real_sources(options.detections, options.catalogue, options.output)
    print(f"{options.output}: {len(table):,} sources, {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(run_command("error", main))

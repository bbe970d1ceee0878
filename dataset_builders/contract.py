"""Data contract: columns of a SpecCLIP dataset and validation of their values.

A row is a pair: a detection (one source in one observation) and a summary of the literature on its
source. Simulated, local and archival data have the same columns, so training does not depend on the
origin of a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Features, List, Value

from hf_specclip.errors import SpecCLIPError
from hf_specclip.models.variables_specclip import VARIABLES
from hf_specclip.spectra.rebin import (
    background_seed,
    deal_counts_batch,
    detection_seed,
    energy_grid,
)

from .domain import XRAY, Domain

N_BINS = 400
ENERGY_RANGE = (0.5, 8.0)
# Edges (N_BINS + 1) and centres (N_BINS) of the bins, keV.
BIN_EDGES = energy_grid(N_BINS, ENERGY_RANGE)
BIN_CENTRES = (BIN_EDGES[1:] + BIN_EDGES[:-1]) / 2
SPLITS = ("train", "calibration", "validation", "test")

# Variables with a 68 % interval in the catalogue: not fit statistics, significance, variability.
LIMITED_VARIABLES = tuple(
    name
    for name in VARIABLES
    if name.startswith("hard_") or name.endswith(("_gamma", "_kt", "_nh"))
)
# Numbers that mean "not measured" in catalogues and tables.
SENTINELS = (-99.0, -999.0, -9999.0)

_VARIABLE_MEANINGS = {
    "hard_hm": "hardness ratio, (hard − medium) / (hard + medium) of aperture photon fluxes",
    "hard_hs": "hardness ratio, (hard − soft) / (hard + soft) of aperture photon fluxes",
    "hard_ms": "hardness ratio, (medium − soft) / (medium + soft) of aperture photon fluxes",
    "powlaw_gamma": "photon index of the absorbed power-law fit; positive is soft",
    "flux_significance_b": "signal to noise of the broad-band (0.5–7 keV) flux",
    "var_prob_b": "probability that the source varied within the observation",
    "var_index_b": "variability index within the observation, 0 to 10",
    "var_sigma_b": "standard deviation of the count rate within the observation",
    "var_inter_prob_b": "probability that the source varied between observations",
}
for _model, _title in (
    ("powlaw", "power-law"),
    ("bb", "black-body"),
    ("brems", "bremsstrahlung"),
    ("apec", "thermal-plasma"),
):
    _VARIABLE_MEANINGS |= {
        f"{_model}_kt": f"temperature of the absorbed {_title} fit",
        f"{_model}_nh": f"hydrogen column of the {_title} fit",
        f"{_model}_stat": f"reduced χ² of the {_title} fit",
    }


class ContractError(SpecCLIPError, ValueError):
    """Data that violate the contract; the message names row, column and correction."""


@dataclass(frozen=True)
class Column:
    """One column of the contract."""

    feature: object  # its `datasets` feature
    unit: str  # unit string, empty where there is none
    meaning: str  # one line for the dataset card
    required: bool = True  # True when a null is an error


def variable_units(domain: Domain = XRAY) -> dict[str, str]:
    """Return the units of the physical variables by name, in the order of the models.

    They are those of the domain, by default of the Chandra Source Catalog
    (`hf_specclip.VARIABLES`).
    """
    return dict(VARIABLES if domain.variables is None else domain.variables)


def limited_variables(domain: Domain = XRAY) -> tuple[str, ...]:
    """Return the variables with columns for a 68 % interval."""
    return LIMITED_VARIABLES if domain.variables is None else tuple(dict(domain.variables))


@cache
def contract_columns(
    n_bins: int = N_BINS,
    text_dim: int | None = None,
    domain: Domain = XRAY,
    *,
    text: bool = True,
) -> dict[str, Column]:
    """Return the columns of the contract, in order.

    Args:
        n_bins: number of equal energy bins of a spectrum.
        text_dim: dimension of the embedding of one section; None without `text_embedding`, which
            contains the embeddings of all sections.
        domain: axis, sections and variables.
        text: False for spectra without texts (`spectra_features`), which have `paired` instead of
            `aliases`, `papers`, `summary`, `writer` and `further_texts`.

    Returns:
        Mapping of column name to `Column`.
    """
    words, real = Value("string"), Value("float32")
    counts, curve = List(Value("int32"), length=n_bins), List(real, length=n_bins)
    columns = {
        "source_name": Column(words, "", "name of the source, `2CXO J…`"),
        "obsid": Column(Value("int32"), "", "observation; negative where it is not known"),
        "obi": Column(Value("int32"), "", "observation interval within it"),
        "region_id": Column(Value("int32"), "", "source region within the observation"),
        "ra": Column(Value("float64"), "deg", "right ascension, ICRS", domain.on_sky),
        "dec": Column(Value("float64"), "deg", "declination, ICRS", domain.on_sky),
        "source_class": Column(words, "", "class of the source, SIMBAD style", False),
        "group": Column(
            words, "", "connected component over source, observation, host and linking paper"
        ),
        "exposure": Column(real, "s", "live time"),
        "counts": Column(counts, "ct", f"counts in the source aperture, per {domain.axis} bin"),
        "background_counts": Column(counts, "ct", "counts in the background region, per bin"),
        "background_scale": Column(
            real, "", "factor that turns background-region counts into aperture counts"
        ),
        "effective_area": Column(curve, "cm2", "effective area at the bin centres", False),
        "detector": Column(words, "", "chip or array; never a model input", False),
        "theta": Column(real, "arcmin", "off-axis angle; never a model input", False),
        "year": Column(real, "yr", "decimal year of the observation; never a model input", False),
    }
    if not text:
        columns["paired"] = Column(Value("bool"), "", "true when a row of `default` holds it, too")
    else:
        columns["aliases"] = Column(
            List(words), "", "other names by which a text may call the source", False
        )
        columns["papers"] = Column(
            List({"id": words, "id_type": words, "title": words, "year": Value("int32")}),
            "",
            "papers behind the summary (bibcode, arxiv or doi; simulated where it is invented)",
        )
        columns["summary"] = Column(
            dict.fromkeys(domain.sections, words),
            "",
            "what the source is; what its X-ray emission is like; where it lives"
            if domain.sections == XRAY.sections
            else "texts about it: " + ", ".join(domain.sections),
        )
        columns["writer"] = Column(
            words, "", "writer or manner of prose of the summary; never a model input", False
        )
        columns["further_texts"] = Column(
            List(dict.fromkeys(domain.sections, words)),
            "",
            "other texts about the source, in the form of `summary`; used in training only",
            False,
        )
    if text_dim is not None:
        columns["text_embedding"] = Column(
            List(real, length=len(domain.sections) * text_dim),
            "",
            "the sections embedded apart and joined",
        )
    for name, unit in variable_units(domain).items():
        meaning = _VARIABLE_MEANINGS.get(name, "catalogue variable")
        columns[name] = Column(real, unit, meaning, False)
        if name in limited_variables(domain):
            for end, word in (("lolim", "lower"), ("hilim", "upper")):
                columns[f"{name}_{end}"] = Column(real, unit, f"{word} 68 % limit", False)
    return columns


def contract_features(
    n_bins: int = N_BINS,
    text_dim: int | None = None,
    domain: Domain = XRAY,
    *,
    text: bool = True,
) -> Features:
    """Return `contract_columns` as `datasets.Features`; the arguments are the same."""
    columns = contract_columns(n_bins, text_dim, domain, text=text)
    return Features({name: column.feature for name, column in columns.items()})


def spectra_features(n_bins: int = N_BINS) -> Features:
    """Return the columns of spectra without texts, for pretraining."""
    return contract_features(n_bins, text=False)


def text_dim_of(schema: pa.Schema, domain: Domain = XRAY) -> int | None:
    """Return the dimension of the embedding of one section, or None without embeddings.

    Raises:
        ContractError: `text_embedding` is not a list with a fixed length that is a multiple of the
            number of sections.
    """
    if "text_embedding" not in schema.names:
        return None
    column_type = schema.field("text_embedding").type
    n = len(domain.sections)
    if (
        not pa.types.is_fixed_size_list(column_type)
        or column_type.list_size % n
        or column_type.list_size == 0
    ):
        raise ContractError(
            f"column 'text_embedding' has type {column_type}; it takes a list of fixed "
            f"length {n}·d ({n} sections, embedded apart and joined)"
        )
    return column_type.list_size // n


def n_bins_of(schema: pa.Schema) -> int:
    """Return the number of energy bins of a dataset's spectra.

    Raises:
        ContractError: there is no column `counts` of lists of a fixed length.
    """
    if "counts" not in schema.names:
        raise ContractError("there is no column 'counts'; is this a SpecCLIP dataset?")
    column_type = schema.field("counts").type
    if not pa.types.is_fixed_size_list(column_type):
        raise ContractError(
            f"column 'counts' has type {column_type}; it takes a list of int32 of fixed length"
        )
    return column_type.list_size


def conform_table(
    table: pa.Table,
    *,
    n_bins: int = N_BINS,
    first_row: int = 0,
    domain: Domain = XRAY,
    text: bool = True,
) -> pa.Table:
    """Convert a table to the contract's schema, and validate every value.

    Missing nullable columns are added as nulls.

    Args:
        table: rows of a dataset.
        n_bins: number of energy bins.
        first_row: number of the first row, for messages.
        domain: axis, sections and variables.
        text: see `contract_columns`.

    Raises:
        ContractError: invalid column or value.
    """
    text_dim = text_dim_of(table.schema, domain)
    columns = contract_columns(n_bins, text_dim, domain, text=text)
    extra = sorted(set(table.column_names) - set(columns))
    if extra:
        raise ContractError(f"columns {extra} are not in the contract: drop or rename them")
    schema = contract_features(n_bins, text_dim, domain, text=text).arrow_schema
    arrays = []
    for name, column in columns.items():
        column_type = schema.field(name).type
        if name not in table.column_names:
            if column.required:
                raise ContractError(f"column {name!r} ({column.meaning}) is missing: add it")
            arrays.append(pa.chunked_array([pa.nulls(len(table), column_type)]))
            continue
        try:
            arrays.append(table[name].cast(column_type))
        except pa.ArrowException as error:
            raise ContractError(
                f"column {name!r} has type {table[name].type} and cannot become {column_type}: "
                f"{error}"
            ) from None
    conformed = pa.Table.from_arrays(arrays, schema=schema)
    validate_table(conformed, n_bins=n_bins, first_row=first_row, domain=domain)
    return conformed


def validate_table(
    table: pa.Table, *, n_bins: int = N_BINS, first_row: int = 0, domain: Domain = XRAY
) -> None:
    """Validate the values of a table in the contract's schema; see `conform_table`.

    Raises:
        ContractError: invalid value (the first one).
    """
    for row, problem in broken_rows(table, n_bins=n_bins, domain=domain):
        raise ContractError(f"row {first_row + row}, {problem}")


def broken_rows(
    table: pa.Table, *, n_bins: int = N_BINS, domain: Domain = XRAY
) -> Iterator[tuple[int, str]]:
    """Yield the invalid rows of a table in the contract's schema, each with a message."""
    rules = itertools.chain(
        _identity_rules(table, n_bins, domain),
        _spectrum_rules(table, n_bins),
        _value_rules(table, domain),
    )
    for bad, name, problem, mend in rules:
        for row in map(int, np.flatnonzero(bad)):
            value = table[name][row].as_py()
            shown = f" ({value!r})" if np.isscalar(value) else ""
            yield row, f"column {name!r}: {problem}{shown}; {mend}"


# Rows (n,) that break a rule, the column, the problem and the mend.
_Rule = tuple[np.ndarray, str, str, str]


def _identity_rules(table: pa.Table, n_bins: int, domain: Domain) -> Iterator[_Rule]:
    text = "summary" in table.column_names
    columns = contract_columns(n_bins, text_dim_of(table.schema, domain), domain, text=text)
    for name, column in columns.items():
        if column.required:
            yield _mask(pc.is_null(table[name])), name, "is null", "every row needs a value"
    for name in ("source_name", "group"):
        yield _mask(pc.equal(table[name], "")), name, "is empty", "every row needs a name"
    for name, low, high in (("ra", 0.0, 360.0), ("dec", -90.0, 90.0)):
        angle, absent = _numbers(table[name]), _mask(pc.is_null(table[name]))
        bad = ~absent & ~((angle >= low) & (angle <= high))
        yield bad, name, "is out of range", "give degrees, ICRS"
    if text:
        sections = table["summary"].combine_chunks()
        empty = np.ones(len(table), dtype=bool)
        for section in domain.sections:
            length = pc.fill_null(pc.utf8_length(pc.struct_field(sections, section)), 0)
            empty &= _mask(pc.equal(length, 0))
        yield empty, "summary", "has no text", "a row without a summary is not a pair: remove it"


def _spectrum_rules(table: pa.Table, n_bins: int) -> Iterator[_Rule]:
    for name in ("counts", "background_counts"):
        bad = (list_matrix(table[name], n_bins) < 0).any(axis=1)
        mend = "counts are integers from 0 on; do not subtract the background"
        yield bad, name, "holds negative counts", mend
    exposure = _numbers(table["exposure"])
    bad = ~(np.isfinite(exposure) & (exposure > 0))
    yield bad, "exposure", "is not a positive time", "give the live time in seconds"
    scale = _numbers(table["background_scale"])
    bad = ~(np.isfinite(scale) & (scale >= 0))
    mend = "give source over background extraction scaling, 0 where there is no background region"
    yield bad, "background_scale", "is not a factor", mend
    area = list_matrix(table["effective_area"], n_bins)
    present = ~_mask(pc.is_null(table["effective_area"]))
    bad = present & ~(np.isfinite(area) & (area >= 0)).all(axis=1)
    mend = "give cm² at the bin centres, or null"
    yield bad, "effective_area", "holds a negative or undefined area", mend


def _value_rules(table: pa.Table, domain: Domain) -> Iterator[_Rule]:
    limited = limited_variables(domain)
    for variable in variable_units(domain):
        ends = [f"{variable}_{end}" for end in ("lolim", "hilim")] if variable in limited else []
        for name in (variable, *ends):
            value = _numbers(table[name])
            present = ~_mask(pc.is_null(table[name]))
            bad = present & (~np.isfinite(value) | np.isin(value, SENTINELS))
            yield bad, name, "holds a number that means 'not measured'", "write null"
    if "text_embedding" in table.column_names:
        width = table.schema.field("text_embedding").type.list_size
        present = ~_mask(pc.is_null(table["text_embedding"]))
        bad = present & ~np.isfinite(list_matrix(table["text_embedding"], width)).all(axis=1)
        mend = "embed the summary again"
        yield bad, "text_embedding", "holds a number that is not finite", mend


def _mask(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return values (n,) float64, nan where null."""
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def list_matrix(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """Return the values (n, width) of a column of lists; null lists become zeros.

    Raises:
        ContractError: a list contains nulls.
    """
    rows = []
    for chunk in column.chunks:
        missing = pc.is_null(chunk).to_numpy(zero_copy_only=False)
        # `flatten` skips null lists.
        flat = chunk.flatten()
        if flat.null_count:
            raise ContractError("a list holds nulls: lists are null as a whole or not at all")
        values = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
        full = np.zeros((len(chunk), width), dtype=values.dtype)
        full[~missing] = values
        rows.append(full)
    return np.concatenate(rows) if rows else np.zeros((0, width))


def deal_detections(
    counts: np.ndarray,
    background: np.ndarray,
    channel_edges: np.ndarray,
    detections: Iterable[tuple[int, int, int, str]],
) -> tuple[np.ndarray, np.ndarray]:
    """Deal the counts of n detections, in c channels, over the contract's bins.

    Args:
        counts, background: counts of aperture and background region, (n, c).
        channel_edges: keV, (c + 1).
        detections: obsid, obi, region_id and source name of each, which seed its draws.

    Returns:
        Counts and background counts, (n, N_BINS) each.
    """
    seeds = [detection_seed(*detection) for detection in detections]
    background_seeds = [background_seed(seed) for seed in seeds]
    return (
        deal_counts_batch(counts, channel_edges, BIN_EDGES, seeds),
        deal_counts_batch(background, channel_edges, BIN_EDGES, background_seeds),
    )


def to_table(columns: Mapping[str, Any], n: int, schema: pa.Schema) -> pa.Table:
    """Convert columns of n rows to the types of a schema, with nulls for missing columns.

    Columns are Arrow columns, NumPy arrays (nan is null) or sequences, by name.
    """
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(n, field.type))
        elif isinstance(values, pa.Array | pa.ChunkedArray):
            arrays.append(values.cast(field.type, safe=False))
        elif isinstance(values, np.ndarray) and values.dtype != object:
            arrays.append(pa.array(values, from_pandas=True).cast(field.type, safe=False))
        else:
            arrays.append(pa.array(list(values), field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def list_array(values: np.ndarray, missing: np.ndarray | None = None) -> pa.FixedSizeListArray:
    """Wrap a matrix (n, m) as an Arrow column of fixed-size lists, without a copy.

    `missing` is True for null lists, (n,).
    """
    values = np.ascontiguousarray(values)
    mask = None if missing is None else pa.array(missing)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.reshape(-1)), values.shape[1], mask=mask
    )

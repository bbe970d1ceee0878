"""Spectra of PHA files as stored: one in each table (type I) or table row (type II)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instruments import DISPERSED
from ..spectrum import has_usual_errors
from .errors import NoCountsError
from .fits_table import FitsFile, Table
from .responses import MAX_CHANNELS

# Type II files of gratings hold 12 spectra of 8,192 channels, those of time-resolved detectors some
# thousands of fewer channels.
MAX_SPECTRA = 100_000
MAX_VALUES = 1 << 23  # spectra × channels
_PER_CHANNEL = ("COUNTS", "RATE", "CHANNEL", "STAT_ERR", "QUALITY", "GROUPING", "BACKSCAL",
                "AREASCAL", "BACKGROUND_UP", "BACKGROUND_DOWN", "BIN_LO", "BIN_HI")  # fmt: skip
# Units such as count/s, counts s**-1, ct s-1.
_PER_SECOND = re.compile(r"/ *s|\bs(ec)?(\*\*|\^)?\(?-1")
# Arms of Chandra's gratings by TG_PART.
_ARMS: dict[int | None, str] = {1: "HEG", 2: "MEG", 3: "LEG"}
_LARGEST_FRACTION, _MOST_COUNTS = 100.0, 2**31 - 1
# Counts after a subtraction are refused when so many of their errors below zero.
_MOST_BELOW = 10
_AGAIN = "make the spectrum again"
# Keywords of the variability that `specclip extract` measures, by column of the Chandra Source
# Catalog, and of the events and their time.
VARIABILITY_KEYWORDS = {
    "var_prob_b": "VAR_PROB", "var_index_b": "VAR_INDX", "var_mean_b": "VAR_MEAN",
    "var_sigma_b": "VAR_SIGM", "ks_prob_b": "KS_PROB", "kp_prob_b": "KP_PROB",
    "counts": "VAR_CNTS", "length_s": "VAR_LEN",
}  # fmt: skip
_ABSENT = {"", "none", "null", "n/a", "unknown", "not available"}


@dataclass(frozen=True, eq=False)
class RawSpectrum:
    """Spectrum as stored in its table, in the order of its channels."""

    table: Table
    row: int | None
    counts: NDArray[Any]
    channels: NDArray[np.int64] | None
    exposure: float
    backscal: float | NDArray[np.float64]
    areascal: float | NDArray[np.float64]
    quality: NDArray[np.int64] | None
    grouping: NDArray[np.int64] | None
    stat_error: NDArray[np.float64] | None
    systematic_error: NDArray[np.float64] | None = None
    wavelengths: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    assumed: tuple[str, ...] = ()
    """Scalings that the file does not state, taken as 1."""

    def name(self, keyword: str) -> str | None:
        """Return a file name from the row (type II) or the header; None for ``none``."""
        table = self.table
        in_row = self.row is not None and table.is_text(keyword)
        text = table.text(keyword, self.row or 0) if in_row else table.header.text(keyword)
        return None if text is None or text.lower() in _ABSENT else text

    def on(self, channels: NDArray[np.int64]) -> RawSpectrum:
        """Return the spectrum on other (consecutive) channels; 0 counts where it has none."""
        if self.channels is None:
            raise ValueError("a spectrum without channel numbers cannot be moved")
        at = self.channels - channels[0]

        def moved(values: Any, fill: float) -> Any:
            if not isinstance(values, np.ndarray):
                return values
            new = np.full(channels.size, fill, dtype=values.dtype)
            new[at] = values
            return new

        names = ("counts", "backscal", "areascal", "stat_error", "systematic_error")
        values = {name: moved(getattr(self, name), 0) for name in names}
        # Channels left out between others hold no counts, those beyond were not recorded: 5 is
        # OGIP's quality for "bad, set by the user".
        quality = np.full(channels.size, 5)
        quality[at[0] : at[-1] + 1] = 0
        quality[at] = 0 if self.quality is None else self.quality
        values |= {"quality": quality, "grouping": moved(self.grouping, 1)}
        return replace(self, channels=channels, **values)


def spectra_in(file: FitsFile) -> list[tuple[Table, int | None]]:
    """Find the spectra of a file: HDU, and row where the HDU is of type II."""
    tables = [t for t in file.tables if t.name == "SPECTRUM" or t.hduclas(1) == "SPECTRUM"] or [
        t for t in file.tables if "CHANNEL" in t and ("COUNTS" in t or "RATE" in t)
    ]
    if not tables:
        mend = "give a PHA file; responses go to arf= and rmf="
        raise file.error(f"holds no SPECTRUM extension, only {file.contents()}", mend=mend)
    sources = [t for t in tables if not is_background(t)] or tables
    entries = rows_of(sources)
    if not entries:
        raise sources[0].error("has no rows", mend="make the spectrum again")
    return entries


def rows_of(tables: list[Table]) -> list[tuple[Table, int | None]]:
    """Return each spectrum of these HDUs: the HDU alone (type I), or with its row (type II)."""
    entries: list[tuple[Table, int | None]] = []
    for table in tables:
        if not is_type_two(table):
            entries.append((table, None))
            continue
        values = max(table.n_values(name) for name in _PER_CHANNEL if name in table)
        if table.n_rows > MAX_SPECTRA or values > MAX_VALUES:
            problem = f"{table.n_rows:,} spectra of {values // table.n_rows:,} channels"
            raise table.error(f"{problem} are too many", mend="split the file")
        entries += [(table, row) for row in range(table.n_rows)]
    return entries


def is_background(table: Table) -> bool:
    """Return True for an HDU that declares itself a background."""
    return any(table.hduclas(number) == "BKG" for number in (2, 3))


def is_net(table: Table) -> bool:
    """Return True for an HDU from whose counts the background was subtracted already."""
    return any(table.hduclas(number) == "NET" for number in (2, 3))


def is_type_two(table: Table) -> bool:
    """Return True for an HDU with a spectrum in each row. Raises SpectrumFileError without any."""
    for name in ("COUNTS", "RATE"):
        if name in table:
            return table.is_vector(name)
    raise table.error("has neither COUNTS nor RATE", mend="give a PHA file")


def read_raw(table: Table, row: int | None, behind: bool = False) -> RawSpectrum:
    """Read one spectrum from its table (type II: from a row) and check it.

    A background (`behind`) may hold the expected counts of a model. Raises NoCountsError for
    numbers that cannot be counts, SpectrumFileError for all else.
    """
    exposure = _per_row(table, row, "EXPOSURE", None)
    if exposure is None or isinstance(exposure, np.ndarray) or not exposure > 0:
        said = "is missing" if exposure is None else f"is {exposure}, not a positive number"
        mend = "write the live time in seconds to EXPOSURE"
        raise table.error(said, keyword="EXPOSURE", mend=mend)
    name = "COUNTS" if "COUNTS" in table else "RATE"
    values = table.vector(name, row)
    if not np.isfinite(values).all():
        raise table.error("must be finite", column=name, mend=_AGAIN)
    if values.size > MAX_CHANNELS:
        raise table.error(f"{values.size:,} channels are too many", column=name, mend=_AGAIN)
    with np.errstate(over="ignore"):  # what is too large is refused
        expected = values if name == "COUNTS" else values * exposure
    behind = behind or is_background(table)
    other_errors = table.header.get("POISSERR") is False and "STAT_ERR" in table
    other_errors = not behind and (is_net(table) or other_errors)
    counts = _integers(
        table, name, expected, fractions=behind or other_errors, negative=other_errors
    )
    stat_error = None
    if "STAT_ERR" in table:
        with np.errstate(over="ignore", invalid="ignore"):
            stat_error = table.vector("STAT_ERR", row) * (1.0 if name == "COUNTS" else exposure)
        # Those of Poisson counts are not looked at.
        if (other_errors or behind) and not ((stat_error >= 0) & (stat_error < 2**31)).all():
            problem = "must be errors of the counts, none below zero or implausibly large"
            raise table.error(problem, column="STAT_ERR", mend="see OGIP 92-007")
    detchans = table.header.integer("DETCHANS")
    if detchans is not None and not 0 < detchans <= MAX_CHANNELS:
        raise table.error(f"DETCHANS = {detchans} is not a valid number of channels", mend=_AGAIN)
    raw = RawSpectrum(
        table=table,
        row=row,
        counts=counts,
        channels=_pha_channels(table, row, counts.size),
        exposure=float(exposure),
        backscal=_scaling(table, row, "BACKSCAL"),
        areascal=_scaling(table, row, "AREASCAL"),
        quality=_quality(table, row, counts.size),
        grouping=_flags(table, row, "GROUPING"),
        stat_error=stat_error,
        systematic_error=_systematic_error(table, row, counts.size),
        assumed=_assumed(table, "BACKSCAL", "AREASCAL"),
        wavelengths=_wavelengths(table, row, counts.size),
    )
    columns = {"stat_error": "STAT_ERR", "systematic_error": "SYS_ERR"}
    for label in ("backscal", "areascal", "quality", "grouping", *columns):
        values = getattr(raw, label)
        if isinstance(values, np.ndarray) and values.size != counts.size:
            problem = f"has {values.size} values for {counts.size} channels"
            raise table.error(problem, column=columns.get(label, label.upper()), mend=_AGAIN)
    if other_errors and stat_error is not None:
        low = np.flatnonzero(counts < -_MOST_BELOW * np.maximum(stat_error, 1.0))
        if low.size:
            problem = (
                f"is {counts[low[0]]:.6g} in row {low[0]}, over {_MOST_BELOW} errors below zero"
            )
            raise table.error(problem, column=name, mend=_AGAIN)
    return raw


def _integers(
    table: Table,
    name: str,
    expected: NDArray[np.float64],
    *,
    fractions: bool = False,
    negative: bool = False,
) -> NDArray[Any]:
    """Return expected counts of a column as whole numbers, unless they may be fractions.

    Raises NoCountsError for fractions or numbers below zero that are not allowed.
    """
    with np.errstate(over="ignore"):
        total = np.abs(expected).sum()
    if total > _MOST_COUNTS:
        raise table.error(f"{total:.3g} counts are too many", column=name, mend="make it again")
    counts = np.rint(expected)
    # Rates in single precision miss whole counts by 6e-8 of them.
    off = np.abs(expected - counts) > 0.01 + 2e-7 * np.abs(counts)
    wrong = (off & (not fractions)) | ((expected < 0) & (not negative))
    if wrong.any():
        channel = int(np.flatnonzero(wrong)[0])
        what = "RATE × EXPOSURE" if name == "RATE" else name
        said = "negative" if expected[channel] < 0 else "not a whole number"
        raise NoCountsError(
            f"{what} is {expected[channel]:.6g} in row {channel}, {said}",
            path=table.file.path,
            place=f"{table.label}, column {name}",
            mend="give the spectrum of counts, before background subtraction or weighting",
        )
    return expected if off.any() else counts.astype(np.int64)


def own_errors(raw: RawSpectrum) -> NDArray[np.float64] | None:
    """Return the errors of background counts if they are not Poisson, else None.

    Expected counts have the errors given by the file, or none; SYS_ERR is added in quadrature.
    """
    expected = raw.counts.dtype.kind == "f"
    errors = raw.stat_error
    if not expected:
        denied = raw.table.header.get("POISSERR") is False
        usual = errors is None or not denied or has_usual_errors(raw.counts, errors)
        if usual and raw.systematic_error is None:
            return None
        errors = np.sqrt(raw.counts) if usual else errors
    if raw.systematic_error is None:
        return errors
    return np.hypot(0.0 if errors is None else errors, raw.systematic_error * raw.counts)


def _per_row(
    table: Table, row: int | None, name: str, default: float | None
) -> float | NDArray[np.float64] | None:
    """Return a keyword, a column per channel (type I), or one value per spectrum (type II)."""
    if name not in table or table.is_text(name):
        table.header.require_value(name)
        return table.header.number(name, default)
    values = table.vector(name, row)
    if not np.isfinite(values).all():
        raise table.error("must be finite", column=name, mend=_AGAIN)
    return float(values[0]) if row is not None and values.size == 1 else values


def _scaling(table: Table, row: int | None, name: str) -> float | NDArray[np.float64]:
    value = _per_row(table, row, name, 1.0)
    assert value is not None
    if np.min(value) < 0 or not np.any(value) or not np.isfinite(value).all():
        mend = "set it to the area of the region (1 if unused)"
        where = "column" if name in table else "keyword"
        raise table.error("must be positive", mend=mend, **{where: name})
    return value


def _flags(table: Table, row: int | None, name: str) -> NDArray[np.int64] | None:
    """Return QUALITY or GROUPING of each channel, None without such a column."""
    return table.as_integers(name, table.vector(name, row)) if name in table else None


def _quality(table: Table, row: int | None, n: int) -> NDArray[np.int64] | None:
    """Return QUALITY of each channel, also where one keyword speaks for all; None where good."""
    flags = _flags(table, row, "QUALITY")
    if flags is None:
        stated = table.header.integer("QUALITY")
        flags = None if not stated else np.array([stated], dtype=np.int64)
    return np.repeat(flags, n) if flags is not None and flags.size == 1 else flags


def _systematic_error(table: Table, row: int | None, n: int) -> NDArray[np.float64] | None:
    """Return SYS_ERR of each channel, a fraction of the counts; None where there is none."""
    values = np.asarray(_per_row(table, row, "SYS_ERR", 0.0))
    if not np.any(values):
        return None
    if np.min(values) < 0 or np.max(values) > _LARGEST_FRACTION:
        mend = "give the fraction of the counts, see OGIP 92-007"
        raise table.error("must be a fraction", column="SYS_ERR", mend=mend)
    return np.repeat(values, n) if values.size == 1 else values


def _assumed(table: Table, *names: str) -> tuple[str, ...]:
    """Return those of some scalings that are neither a keyword nor a column."""
    return tuple(name for name in names if name not in table and name not in table.header)


def _pha_channels(table: Table, row: int | None, n: int) -> NDArray[np.int64] | None:
    """Return channel numbers, or None where the file has none."""
    if "CHANNEL" not in table:
        return None
    values = table.vector("CHANNEL", row)
    if values.size != n:
        problem = f"has {values.size} channels for {n} counts"
        raise table.error(problem, column="CHANNEL", mend=_AGAIN)
    if n > 1 and (values == values[0]).all():
        first = table.limit("CHANNEL")
        return None if first is None else first + np.arange(n)
    numbers = table.as_integers("CHANNEL", values)
    if (np.diff(numbers) < 1).any():
        raise table.error("must ascend", column="CHANNEL", mend="sort the rows by channel")
    return numbers


def _wavelengths(
    table: Table, row: int | None, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return lower and upper wavelengths (Å) of the channels of a dispersed spectrum, or None."""
    if "BIN_LO" not in table or "BIN_HI" not in table:
        return None
    unit = (table.unit("BIN_LO") or "angstrom").strip().lower()
    low, high = table.vector("BIN_LO", row), table.vector("BIN_HI", row)
    if unit not in ("angstrom", "a") or low.size != n or high.size != n:
        return None
    return low, high


def _order(raw: RawSpectrum) -> str | None:
    """Return arm and order of a dispersed spectrum, None for others."""
    part, order = (_whole_number(raw, name) for name in ("TG_PART", "TG_M"))
    if order is None:
        order = _whole_number(raw, "RFLORDER")
    if part == 0 or order == 0:
        return None
    words = [_ARMS.get(part, ""), "" if order is None else f"{order:+d}"]
    return " ".join(filter(None, words)) or (None if raw.wavelengths is None else DISPERSED)


def total_of(raw: RawSpectrum) -> int | None:
    """Return TOTCTS, the counts that the header states; None where it states none."""
    return None if raw.row is not None else _whole_number(raw, "TOTCTS")


def _whole_number(raw: RawSpectrum, name: str) -> int | None:
    """Return a column of a row, or a keyword, as a whole number; None where it is none."""
    table = raw.table
    if raw.row is not None and name in table and not table.is_text(name):
        value: Any = table.vector(name, raw.row)[0]
    else:
        value = table.header.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1:
        return None
    return int(value)


def background_columns(raw: RawSpectrum) -> RawSpectrum | None:
    """Read the background beside a grating spectrum: CIAO's strips above and below it."""
    table = raw.table
    strips = [
        (counts, scale)
        for counts, scale in (("BACKGROUND_UP", "BACKSCUP"), ("BACKGROUND_DOWN", "BACKSCDN"))
        if counts in table
    ]
    if not strips:
        return None
    total: NDArray[Any] = np.zeros(raw.counts.size, dtype=np.int64)
    area = np.zeros(())
    for counts, scale in strips:
        values = table.vector(counts, raw.row)
        if values.size != raw.counts.size or not np.isfinite(values).all():
            problem = "must hold one number of counts for each channel"
            raise table.error(problem, column=counts, mend="see OGIP")
        per_second = _PER_SECOND.search((table.unit(counts) or "").lower())
        values = values * raw.exposure if per_second else values
        values = _integers(table, counts, values, fractions=True)
        total, area = total + values, area + np.asarray(_scaling(table, raw.row, scale))
    return replace(
        raw,
        counts=total,
        stat_error=np.sqrt(total),  # strips are observed, whatever the precision of their rates
        systematic_error=None,
        backscal=float(area) if area.ndim == 0 else area,
        assumed=_assumed(table, *(scale for _, scale in strips), "AREASCAL"),
    )


def side_file(name: str) -> tuple[str, str | None]:
    """Split a file name in a header as `split_pointer` does, without its folders."""
    name, pointer = split_pointer(name)
    return re.split(r"[/\\]", name)[-1].strip(), pointer


def split_pointer(name: str) -> tuple[str, str | None]:
    """Split a file name from the extension in brackets, or the row in braces, behind it."""
    pointer = re.search(r"\[[^\]]*\]|\{\d{1,6}\}", name)
    head = re.split(r"[\[{]", name, maxsplit=1)[0].strip()
    return head, None if pointer is None else pointer[0]


def observation_of(table: Table, raw: RawSpectrum) -> dict[str, Any]:
    """Return source and observation from the header."""
    header = table.header

    def text(key: str) -> str | None:
        value = header.text(key)
        return None if value is None or value.lower() in _ABSENT else value

    def whole(*keys: str) -> int | None:
        for key in keys:
            value = text(key)
            if value is not None and re.fullmatch(r"\d{1,9}", value):
                return int(value)
        return None

    def number(key: str, low: float, high: float) -> float | None:
        value = header.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value) if low <= value <= high else None

    positions = [  # of the source, and two names for that of the observation's target
        (number(f"RA{of}", 0, 360), number(f"DEC{of}", -90, 90)) for of in ("", "_TARG", "_OBJ")
    ]
    source, *targets = [None if None in position else position for position in positions]
    ra, dec = source or (None, None)
    name = text("OBJECT")
    poisson = header.get("POISSERR")
    # Measured by `specclip extract`; None where the header lacks any of it.
    keywords = VARIABILITY_KEYWORDS
    measured = {n: header.get(k) for n, k in keywords.items() if number(k, 0, 1e12) is not None}
    return {
        "source_name": None if name == "CSC" else name,  # the catalogue's files say no more
        "obsid": whole("OBS_ID"),
        "obi": whole("OBI_NUM", "OBI"),
        "region_id": whole("REGIONID"),
        "telescope": text("TELESCOP"),
        "instrument": text("INSTRUME"),
        "detector": text("DETNAM"),
        "grating": text("GRATING"),
        "order": _order(raw),
        "date": text("DATE-OBS"),
        "frame_time": number("TIMEDEL", 1e-9, 1e6),
        "ra": ra,
        "dec": dec,
        "target": targets[0] or targets[1],
        "variability": measured if len(measured) == len(keywords) else None,
        "hduclas2": "NET" if is_net(table) else "BKG" if is_background(table) else None,
        "poisson_errors": poisson if isinstance(poisson, bool) else None,
    }

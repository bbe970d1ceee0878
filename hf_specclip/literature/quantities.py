"""Extraction of physical quantities from scientific prose.

Sentence embeddings hardly encode numbers, because tokenizers split their digits. Here values, units
and limits are parsed by regular expressions: first a number, then the unit after it and the name of
the quantity before it.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_LIMITS: dict[str, tuple[float, float, float, float]] = _TABLES["kinds"]
KINDS = tuple(_LIMITS)
# Values per kind of quantity (a spectrum may have two components), and numbers per value: present,
# scaled value, half width of its range, upper limit, lower limit.
_MAX_VALUES, _PER_VALUE = 2, 5
QUANTITY_WIDTH = len(KINDS) * _MAX_VALUES * _PER_VALUE


def _compile(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    for name, fragment in _TABLES["fragments"].items():
        pattern = pattern.replace(f"{{{name}}}", fragment)
    return re.compile(pattern, flags)


_SUPERSCRIPT = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
_PLAIN_FORMS = tuple(_TABLES["spellings"])
_SPELLED = re.compile("|".join(f"({pattern})" for pattern in _TABLES["spellings"].values()))
_BAND = re.compile(r"\([^()]*\)|[\d.\s-]*[kK]?eV")
_WORDS = {key: _compile(pattern, re.VERBOSE) for key, pattern in _TABLES["number"].items()}
_UNITS = tuple(
    (_compile(rf"[\s-]*(?:{pattern})"), kind, factor)
    for pattern, kind, factor in _TABLES["units"]["rows"]
)
_NAMED = {k: _compile(rf"(?P<name>{name}){{filler}}") for k, name in _TABLES["names"].items()}
_LOGGED = {
    kind: _compile(rf"{{log}}(?:{name})[^=<>~\d]*(?:/[^=<>~]*)?{{filler}}")
    for kind, name in _TABLES["logarithms"].items()
}
_THINGS = {kind: _compile(pattern) for kind, pattern in _TABLES["things"].items()}
# Units that need a name or an object next to the number, and the kind of quantity they may give.
_DIMENSIONS = {"energy": "temperature", "length": "distance", "time": "period"}
# Dimensionless kinds, and kinds with a linear scale.
_UNITLESS = ("photon_index", "redshift", "abundance", "hardness")
_LINEAR = ("photon_index", "hardness")
# Hardness ratio of other bands than in the catalogue.
OTHER_HARDNESS = "other_hardness"
# Bands of the catalogue, keV, and its hardness ratios: hard_hs, hard_hm, hard_ms.
_BANDS = {(0.5, 1.2): "s", (1.2, 2.0): "m", (2.0, 7.0): "h", (0.5, 7.0): "hs"}
_RATIOS = ("hs", "hm", "ms")
_SIGNED = _compile(rf"\b[Ll]og|{_TABLES['names']['hardness']}")
# Kinds that may be given without a unit, and those that may be if written as powers of ten.
_BARE = {kind: _NAMED[kind] for kind in _UNITLESS} | {
    kind: _compile(rf"(?P<name>{name}){{filler}}") for kind, name in _TABLES["bare"].items()
}
_WITHOUT_UNIT = (*((kind, _BARE[kind]) for kind in _UNITLESS), *_LOGGED.items())
_POWERS = {kind: _NAMED[kind] for kind in ("column", "luminosity", "flux", "mass")}


@dataclass(frozen=True)
class Quantity:
    """Quantity in a text.

    Attributes:
        kind: one of `KINDS`, or `OTHER_HARDNESS`.
        value: value in the unit of the kind, or the limit; nan for a range.
        low: lower end of the range; -inf for an upper limit.
        high: upper end of the range; inf for a lower limit.
        start: start in the text, including the name of the quantity.
        stop: end in the text.
        bands: bands of a hardness ratio: `hs`, `hm` or `ms`, as in `hard_hs`; else empty.
    """

    kind: str
    value: float
    low: float
    high: float
    start: int
    stop: int
    bands: str = ""


@dataclass
class _Number:
    """Number in a text with its range and unit, before its kind is determined.

    `ends` are the value and the ends of its range; `signed` are those with a preceding dash read as
    a minus sign, for hardness ratios and logarithms; for other kinds the dash is punctuation.
    """

    ends: tuple[float, float, float]
    signed: tuple[float, float, float]
    start: int
    stop: int
    exponent: float | None
    unit: str | None
    factor: float
    has_head: bool = False  # the power of ten and the unit are before it


def find_quantities(text: str) -> list[Quantity]:
    """Find the physical quantities in a text, in order.

    Args:
        text: prose, plain or in LaTeX, with errors (`0.9 ± 0.1`), ranges (`1.7–2.1`,
            `between 2 and 4`), limits (`< 0.5`, `at least 3`), logarithms (`log N_H = 22.3`) and
            omitted units (`NH 1e22`).

    Returns:
        Quantities of `KINDS`: flux erg/cm²/s, luminosity erg/s, column cm⁻², temperature keV,
        photon_index, redshift, distance pc, abundance (solar), counts, count_rate counts/s,
        mass (solar), period s, hardness (of two bands of the catalogue, hard and soft by default);
        and `OTHER_HARDNESS`, of other bands.

    Examples:
        >>> [(q.kind, q.low, q.high) for q in find_quantities("Γ = 1.8 ± 0.1 and kT < 0.5 keV")]
        [('photon_index', 1.7, 1.9), ('temperature', -inf, 0.5)]
    """
    if not re.search(r"\d", text):
        return []
    plain, origin = _to_plain(text)
    stated, end, previous = plain, 0, None
    found: list[Quantity] = []
    for run in _runs(plain):
        start, stop = run[0].start, run[-1].stop
        lead = plain[max(end, start - 72) : start]
        quantities = list(_interpret(plain, lead, run, previous))
        if quantities and quantities[0].kind == "hardness":
            quantities = _with_bands(quantities, stated, start, stop)
        previous = run[-1]
        if found and quantities and found[-1].stop > quantities[0].start:
            found.pop()  # the lower limit of 0.1 < z < 0.5 is now part of a range
        found += quantities
        if not quantities and (band := _BAND.search(plain, max(0, start - 1), stop + 1)):
            # An energy band within a name, as in L(0.5-8 keV) = 3e38 erg/s.
            plain = plain[: band.start()] + " " * len(band.group()) + plain[band.end() :]
        else:
            end = stop
    return [replace(q, start=origin[q.start], stop=origin[q.stop - 1] + 1) for q in found]


def _to_plain(text: str) -> tuple[str, list[int]]:
    """Normalise LaTeX and Unicode; return the text and the original position of each character."""
    plain, origin, last = "", list[int](), 0
    for match in _SPELLED.finditer(text):
        form = _PLAIN_FORMS[(match.lastindex or 1) - 1]
        if form == "^":
            form += match.group().translate(_SUPERSCRIPT)
        plain += text[last : match.start()] + form
        origin += (*range(last, match.start()), *[match.start()] * len(form))
        last = match.end()
    return plain + text[last:], [*origin, *range(last, len(text) + 1)]


def _power(exponent: float) -> float:
    return float(10.0 ** min(max(exponent, -99.0), 99.0))


def _read_number(plain: str, match: re.Match[str]) -> _Number:
    """Read the value, the errors and the unit of a number."""
    groups = match.groupdict()
    (start, stop), at, head = match.span(), match.end(), groups["head"]
    exponent = groups["power"] or groups["exponent"] or groups["header"] or head
    if groups["ten"]:
        ten, error = float(groups["ten"]), float(groups["ten_error"] or 0.0)
        ends = _power(ten), _power(ten - error), _power(ten + error)
        if groups["ten_high"]:
            ends = math.nan, ends[1], _power(float(groups["ten_high"]))
    else:
        power = _power(float(exponent or 0))
        value = float(groups["mantissa"]) * power
        if "e" in (groups["error_after"] or "").lower():
            power = 1.0
        down, up = (
            next((float(groups[name]) for name in names if groups[name]), 0.0) * power
            for names in (("error_after", "error", "bracketed", "worded", "down", "below"),
                          ("error_after", "error", "bracketed", "worded", "up", "above"))
        )  # fmt: skip
        ends = value, value - down, value + up
        if head:
            if re.search(r"\b[Ll]og", plain[max(0, start - 24) : start]):
                value, low, high = (_power(end / power) * power for end in ends)
                ends = value, low, high
            at, start = match.end("head"), match.start("mantissa")
    units = ((after, *unit) for pattern, *unit in _UNITS if (after := pattern.match(plain, at)))
    after, unit, factor = next(units, (match, None, 1.0))
    stop = stop if unit == "other" else max(stop, after.end())
    shift = float(exponent) if exponent else None
    return _Number(ends, ends, start, stop, shift, unit, factor, head is not None)


def _runs(plain: str) -> list[list[_Number]]:
    """Read the numbers of a text; linked ones of one kind share a unit, as in "5.5 and 8.4 keV"."""
    runs: list[list[_Number]] = []
    for number in _join_ranges(plain):
        last = runs[-1][-1] if runs else None
        if last and _link(plain, last, number):
            before = plain, max(0, last.start - 48), last.start
            takes_unit = last.unit is None and number.unit is not None
            if not takes_unit or not any(
                kind != number.unit and pattern.search(*before) for kind, pattern in _WITHOUT_UNIT
            ):
                _share(last, number)
                if number.unit in (last.unit, None):
                    runs[-1].append(number)
                    continue
        runs.append([number])
    return runs


def _join_ranges(plain: str) -> list[_Number]:
    """Read the numbers, and join the ends of ranges: "2-4", "between 0.6 and 0.9"."""
    joined: list[_Number] = []
    for match in _WORDS["value"].finditer(plain):
        number = _read_number(plain, match)
        last = joined[-1] if joined else None
        link = _link(plain, last, number) if last else None
        if link["sign"] if link else plain[: number.start].rstrip().endswith("-"):
            # Errors keep their directions.
            value, low, high = number.signed
            number.signed = -value, low - 2 * value, high - 2 * value
        if last and link:
            between = _WORDS["between"].search(plain, max(0, last.start - 18), last.start)
            if link["range"] or (between and ("[" in between.group() or "and" in link.group())):
                _share(last, number)
                if last.unit == number.unit:
                    number.ends, number.signed = (
                        (math.nan, min(ends), max(ends))
                        for ends in (last.ends[1:] + number.ends[1:],
                                     last.signed[1:] + number.signed[1:])
                    )  # fmt: skip
                    number.start = joined.pop().start
        joined.append(number)
    return joined


def _link(plain: str, first: _Number, second: _Number) -> re.Match[str] | None:
    """Match the words between two linked numbers; a minus sign only for signed quantities."""
    link = _WORDS["link"].fullmatch(plain, first.stop, second.start)
    if link and link["sign"] and not _SIGNED.search(plain, max(0, first.start - 72), first.start):
        return None
    return link


def _share(first: _Number, second: _Number) -> None:
    """Copy the unit and the power of ten from the second number if the first has none."""
    if first.unit is None:
        first.unit, first.factor = second.unit, second.factor
        if first.exponent is None and second.exponent is not None and first.ends[1] < 1e3:
            (value, low, high), power = first.ends, _power(second.exponent)
            first.ends, first.exponent = (value * power, low * power, high * power), second.exponent


def _interpret(
    plain: str, lead: str, run: list[_Number], previous: _Number | None
) -> Iterator[Quantity]:
    """Determine the kind of linked numbers by their unit and by the name before them.

    The number before the run may be the lower limit of a range: `0.1 < z < 0.5`.
    """
    kind, logged, name = _kind_of(plain, lead, run)
    if kind is None:
        return
    start = run[0].start - len(lead) + name if name >= 0 else run[0].start
    for index, number in enumerate(run):
        before = lead if index == 0 else plain[run[index - 1].stop : number.start]
        upper, lower = _WORDS["upper"].search(before), _WORDS["lower"].search(before)
        if index == 0 and name >= 0 and not (upper or lower or math.isnan(number.ends[0])):
            upper, lower = _WORDS["upper"].search(lead[:name]), _WORDS["lower"].search(lead[:name])
        if index == 0 and (limit := upper or lower):
            start = min(start, number.start - len(lead) + limit.start())
        is_upper = upper or _WORDS["or_less"].match(plain, number.stop)
        is_lower = lower or _WORDS["or_more"].match(plain, number.stop)
        has_sign = logged or kind == "hardness"
        value, low, high = number.signed if has_sign else number.ends
        if is_upper and previous and plain[previous.stop : start].strip() == "<":
            low = (previous.signed if has_sign else previous.ends)[0]
            value, is_upper, start = math.nan, None, previous.start
        if logged:
            low, high, value = (_power(end) for end in (low, high, value))
        low, high, value = (end * (logged or number.factor) for end in (low, high, value))
        if is_upper or is_lower:
            value = high if math.isnan(value) else value
            low, high = (-math.inf, value) if is_upper else (value, math.inf)
        smallest, largest, _, _ = _LIMITS[kind]
        if smallest <= (value if math.isfinite(value) else high) <= largest:
            yield Quantity(kind, value, low, high, start, number.stop)
        start = number.stop


def _kind_of(plain: str, lead: str, run: list[_Number]) -> tuple[str | None, float, int]:
    """Return the kind, the factor of a logarithm (0 for none) and the position of the name in
    `lead` (-1 for none)."""
    unit, stop = run[-1].unit, run[-1].stop
    if "og" in lead and not run[0].has_head:
        for kind, pattern in _LOGGED.items():
            if match := pattern.search(lead):
                # A kelvin in keV.
                return kind, 8.61733e-8 if kind == "temperature" else 1.0, match.start()
    if unit == "other":
        return None, 0.0, -1
    if unit is None:
        names = _BARE | (_POWERS if any(n.exponent or n.ends[0] >= 1e6 for n in run) else {})
        matches: list[tuple[str | None, float, int]] = [
            (kind, 0.0, match.start())
            for kind, pattern in names.items()
            if (match := pattern.search(lead))
            and not _WORDS["designation"].search(lead, match.end("name"))
        ]
        return max(matches, key=lambda found: found[2], default=(None, 0.0, -1))
    kind = _DIMENSIONS.get(unit, unit)
    match = _NAMED[kind].search(lead)
    name = match.start() if match else -1
    is_band = kind == "temperature" and any(math.isnan(number.ends[0]) for number in run)
    if unit not in _DIMENSIONS or (_THINGS[kind].match(plain, stop) and not is_band):
        return kind, 0.0, name
    is_size = kind == "distance" and (
        _WORDS["span"].match(plain, stop)
        or (match and match["name"] in ("within", "(") and run[0].factor < 1e6)
    )
    if match and not is_size:
        return kind, 0.0, name
    if kind == "distance" and run[0].factor >= 1e6 and plain[run[0].start] == "(":
        return kind, 0.0, -1  # NGC 1234 (10 Mpc)
    return None, 0.0, -1


def _with_bands(quantities: Sequence[Quantity], text: str, start: int, stop: int) -> list[Quantity]:
    """Add the bands of hardness ratios from the words around them (hard and soft by default).

    The numbers are at `text[start:stop]`, after their name.
    """
    name = min(start, quantities[0].start)
    before = _WORDS["bands_before"].search(text, max(0, name - 48), name)
    after = _WORDS["bands_behind"].match(text, stop)
    words = f"{before[0] if before else ''} {text[name:start]} {after[0] if after else ''}"
    bands = "hs"
    if letters := _WORDS["letters"].search(words):
        bands = "".join(filter(None, letters.groups())).lower()
    elif energies := _WORDS["energies"].findall(words):
        found = [_BANDS.get((float(low), float(high)), "?") for low, high in energies]
        bands = "".join(sorted(found, key="hms".find))
    elif names := _WORDS["band_names"].search(words):
        bands = "".join(sorted((name[0].lower() for name in names.groups()), key="hms".find))
    elif colour := _WORDS["colours"].search(words):
        bands = {"soft": "ms", "hard": "hm"}.get((colour[1] or "").lower(), "?")
    if after and _WORDS["energies"].search(after[0]):
        quantities = [*quantities[:-1], replace(quantities[-1], stop=after.end())]
    if bands[::-1] in _RATIOS:  # (S-H)/(S+H)
        bands = bands[::-1]
        quantities = [replace(q, value=-q.value, low=-q.high, high=-q.low) for q in quantities]
    if bands not in _RATIOS:
        return [replace(q, kind=OTHER_HARDNESS) for q in quantities]
    return [replace(q, bands=bands) for q in quantities]


def quantity_numbers(sentences: Sequence[str]) -> np.ndarray:
    """Encode the quantities in sentences as numbers of order 1.

    Returns:
        (n, QUANTITY_WIDTH) float32. For the first two values of each of `KINDS`: 1, the scaled
        value, the half width of its range, 1 for an upper limit, 1 for a lower limit; zeros without
        a value.
    """
    numbers = np.zeros((len(sentences), len(KINDS), _MAX_VALUES, _PER_VALUE), np.float32)
    for row, sentence in enumerate(sentences):
        count = dict.fromkeys(KINDS, 0)
        for q in find_quantities(sentence):
            slot = count.get(q.kind, _MAX_VALUES)
            if slot < _MAX_VALUES:
                count[q.kind] += 1
                upper, lower = math.isinf(q.low), math.isinf(q.high)
                ends = (q.value, q.value) if upper or lower else (q.low, q.high)
                low, high = (scaled(q.kind, max(end, _LIMITS[q.kind][0])) for end in ends)
                values = 1.0, (low + high) / 2, (high - low) / 2, upper, lower
                numbers[row, KINDS.index(q.kind), slot] = values
    return numbers.reshape(len(sentences), QUANTITY_WIDTH)


def scaled(kind: str, value: float) -> float:
    """Standardise a value: log10(value), log10(1 + z) for redshifts, or the value itself for photon
    index and hardness."""
    _, _, centre, spread = _LIMITS[kind]
    number = value if kind in _LINEAR else math.log10(value + (kind == "redshift"))
    return (number - centre) / spread

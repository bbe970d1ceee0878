"""Ranking of papers by how much they are about a source.

A paper's rank is a sum of what it shows, each bounded so that no single sign decides:

* 3 where the title names the source, 2 where the abstract does;
* up to 3 for how often SIMBAD counts the object in the paper: log2(1 + frequency);
* 1 where title or abstract speak of X-rays;
* −1 for every factor of ten in the number of objects it deals with, down to −3: a paper on a
  thousand objects says little about any.

Papers behind more sources of a build than the survey limit are set apart: they come last whatever
their rank, and are marked. Ties go to the later paper, then to the bibcode, so that the order never
depends on who answered first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hf_specclip.literature.source_names import names_any

_XRAY = re.compile(
    r"X-?ray|\bkeV\b|Chandra|XMM|NuSTAR|NICER|ROSAT|Suzaku|\bASCA\b|RXTE|Swift|eROSITA|Einstein "
    r"Observatory",
    re.IGNORECASE,
)
# So few objects, and a paper is about each of them.
_FEW_OBJECTS = 5


@dataclass(frozen=True)
class RankedPaper:
    """A paper about a source, with its rank.

    Attributes:
        id: bibcode.
        id_type: always `bibcode`.
        title, abstract: as ADS or SIMBAD has them, or None.
        year: of publication, or None.
        about: `source`, or `host` where it deals with the source among others.
        xray: whether title or abstract speak of X-rays.
        score: its rank, see above.
        survey: whether it is behind more sources than the survey limit.
        sources: of this build, how many it is behind.
    """

    id: str
    id_type: str
    title: str | None
    abstract: str | None
    year: int | None
    about: str
    xray: bool
    score: float
    survey: bool
    sources: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as `extractive_summary` and the contract take them."""
        return asdict(self)


def rank_papers(
    names: Sequence[str],
    references: Sequence[Mapping[str, Any]],
    papers: Mapping[str, Mapping[str, Any]],
    sources_of: Mapping[str, int],
    survey_limit: int,
) -> list[RankedPaper]:
    """Rank the papers of a source: those most about it first, surveys last.

    Args:
        names: of the source.
        references: `bibcode`, and what SIMBAD says of the paper (`title`, `year`, `frequency`,
            `objects`), where it does.
        papers: bibcode -> what ADS says of it (`title`, `abstract`, `year`), where it does.
        sources_of: bibcode -> behind how many sources it is.
    """
    named = names_any(names)
    ranked = {}
    for reference in references:
        code = reference["bibcode"]
        known = papers.get(code, {})
        title = known.get("title") or reference.get("title")
        abstract = known.get("abstract")
        in_title = named(title or "")
        in_abstract = named(abstract or "")
        objects = reference.get("objects")
        frequency = reference.get("frequency") or 0
        xray = bool(_XRAY.search(f"{title or ''} {abstract or ''}"))
        score = 3.0 * in_title + 2.0 * in_abstract + min(3.0, math.log2(1 + frequency)) + xray
        if objects:
            score -= min(3.0, math.log10(max(objects, 1)))
        few = objects is not None and objects <= _FEW_OBJECTS
        sources = sources_of.get(code, 1)
        ranked[code] = RankedPaper(
            id=code,
            id_type="bibcode",
            title=title,
            abstract=abstract,
            year=known.get("year") or reference.get("year"),
            about="source" if in_title or in_abstract or few else "host",
            xray=xray,
            score=round(score, 4),
            survey=sources > survey_limit,
            sources=sources,
        )
    return sorted(
        ranked.values(),
        key=lambda paper: (paper.survey, -paper.score, -(paper.year or 0), paper.id),
    )

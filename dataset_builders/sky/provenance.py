"""Provenance of a dataset, for its card: services, queries, dates, terms, and an account."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from pathlib import Path

from hf_specclip.storage import atomic_file

from . import counts
from .literature import texts
from .literature.texts import Summariser
from .services import full_texts, simbad, sources
from .services.ads import OBJECTS_STAGE, PAPERS_STAGE
from .services.archive import STAGE as SPECTRA_STAGE
from .services.catalogue import read_catalogue
from .services.polite_session import public_address
from .settings import Selection, Services
from .work.store import Store

LOST_FILE = "lost.tsv"
_ITEMS = (
    sources.STAGE, simbad.STAGE, OBJECTS_STAGE, PAPERS_STAGE, full_texts.STAGE, SPECTRA_STAGE,
    counts.STAGE, texts.STAGE,
)  # fmt: skip
DESCRIPTION = """\
Detections of the Chandra Source Catalog 2.1 with their spectra from the Chandra archive, and the
papers that SIMBAD and NASA's Astrophysics Data System list for their sources. HRC detections are
not among them; neither are those that the catalogue flags as piled up, saturated or on a readout
streak. Counts are dealt over the energy bins by a multinomial draw seeded by the detection. What
was not measured is null."""

_TERMS = """\
### Licence

Chandra data and the catalogue are in the public domain (please cite them as below). Titles and
bibcodes are bibliographic facts from SIMBAD and ADS. Summaries by extraction quote sentences of
abstracts, which are their publishers'; summaries by a model are in its words, and may be mistaken.
That is why the card says `other`: check what your use needs before passing the texts on.

### Citations

* Evans et al. 2024, ApJS 274, 22: the Chandra Source Catalog, release 2.
* Wenger et al. 2000, A&AS 143, 9: SIMBAD, operated at CDS, Strasbourg, France.
* This dataset has made use of NASA's Astrophysics Data System Bibliographic Services.
* arXiv:2603.04516: the pairing of spectra with summaries of the literature.
* The papers behind a summary are in the column `papers`."""


def provenance(
    selection: Selection,
    services: Services,
    date: str,
    summariser: Summariser,
    embedder: str | None,
) -> str:
    """Format services, queries, versions, licence and citations in Markdown.

    Args:
        services: their addresses.
    """
    asked = ", ".join(f"{name} {value}" for name, value in selection.facts().items())
    rows = [
        ("detections", public_address(services.csc_tap), f"TAP: {asked}", "CSC 2.1"),
        ("spectra", public_address(services.archive), "files of these detections", "rel2.1"),
        (
            "identifiers, references",
            public_address(services.simbad_tap),
            "by name, else position",
            "—",
        ),
        ("papers, abstracts", public_address(services.ads), "by bibcode and SIMBAD number", "v1"),
        ("summaries", "—", "papers most about the source", summariser.name),
    ]
    if embedder:
        rows.append(("text_embedding", "—", "the three sections apart", embedder))
    lines = ["### Provenance", "", f"The build began on {date}.", ""]
    lines += ["| what | service | question | version |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", _TERMS])


def describe_account(store: Store, work: Path) -> str:
    """Count in sentences where each name, detection, source, paper and spectrum ended."""
    table = read_catalogue(work)
    masked = Counter(reason for reason in table["masked"].to_pylist() if reason)
    of = {
        stage: store.counts(stage)
        for stage in (sources.STAGE, SPECTRA_STAGE, simbad.STAGE, texts.STAGE, PAPERS_STAGE)
    }
    full, unreadable = store.counts(full_texts.STAGE), store.counts(counts.STAGE)["absent"]
    left = [f"{states['wanted']:,} {stage}" for stage, states in of.items() if states["wanted"]]
    total = {stage: sum(states.values()) for stage, states in of.items()}
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(masked.items()))
    names, spectra = of[sources.STAGE], of[SPECTRA_STAGE]
    sentences = [
        f"Of {total[sources.STAGE]:,} names, {names['got']:,} are sources of the catalogue."
        if total[sources.STAGE]
        else "",
        f"Of {len(table):,} ACIS detections, {sum(masked.values()):,} are masked"
        + (f" ({reasons})." if reasons else "."),
        f"SIMBAD knows {of[simbad.STAGE]['got']:,} of {total[simbad.STAGE]:,} sources; "
        f"{of[texts.STAGE]['got']:,} have a summary.",
        f"ADS knows {of[PAPERS_STAGE]['got']:,} of {total[PAPERS_STAGE]:,} papers.",
        f"Of {sum(full.values()):,} full texts asked for, {full['got']:,} are open and "
        f"{full['failed']:,} failed."
        if sum(full.values())
        else "",
        f"Of {total[SPECTRA_STAGE]:,} spectra asked for, {spectra['got']:,} came, "
        f"{spectra['absent']:,} are not in the archive and {spectra['failed']:,} failed; "
        f"{unreadable:,} could not be read.",
        f"Still to come: {', '.join(left)}." if left else "",
    ]
    return " ".join(filter(None, sentences))


def list_lost(store: Store, work: Path, shown: int = 3) -> str:
    """Name some items of each stage that failed or are absent, and list all in a file."""
    listing, lines = work / LOST_FILE, []
    with atomic_file(listing) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(("stage", "state", "item", "reason"))
        for stage, state in itertools.product(_ITEMS, ("failed", "absent")):
            for number, item in enumerate(store.items(stage, (state,))):
                table.writerow((stage, state, item.id, item.why))
                if number < shown:
                    lines.append(f"  {stage}, {state}: {item.id}: {item.why}")
    return "\n".join([f"Not all came; {listing} lists them, such as", *lines]) if lines else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

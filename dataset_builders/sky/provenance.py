"""Provenance of a dataset, for its card: services, queries, dates, terms, and an account."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from pathlib import Path

from jinja2 import Template

from hf_specclip.storage import atomic_file

from . import counts
from .literature import summaries
from .literature.summaries import Summariser
from .services import full_texts, simbad, sources
from .services.ads import OBJECTS_STAGE, PAPERS_STAGE
from .services.archive import STAGE as SPECTRA_STAGE
from .services.catalogue import read_catalogue
from .services.polite_session import public_address
from .settings import Selection, Services
from .work.store import Store

LOST_FILE = "lost.tsv"
ITEM_STAGES = (
    sources.STAGE, simbad.STAGE, OBJECTS_STAGE, PAPERS_STAGE, full_texts.STAGE, SPECTRA_STAGE,
    counts.STAGE, summaries.STAGE,
)  # fmt: skip
TEMPLATE = Path(__file__).with_name("card.md")


def describe(
    store: Store,
    work: Path,
    selection: Selection,
    services: Services,
    date: str,
    summariser: Summariser,
    embedder: str | None,
) -> str:
    """Describe a dataset for its card: account, services, queries, versions, licence, citations."""
    asked = ", ".join(f"{name} {value}" for name, value in selection.facts().items())
    rows = [
        ("detections", services.csc_tap, f"TAP: {asked}", "CSC 2.1"),
        ("spectra", services.archive, "files of these detections", "rel2.1"),
        ("identifiers, references", services.simbad_tap, "by name, else position", "—"),
        ("papers, abstracts", services.ads, "by bibcode and SIMBAD number", "v1"),
        ("summaries", "", "papers most about the source", summariser.name),
        ("text_embedding", "", "the three sections apart", embedder or ""),
    ]
    cells = [(w, public_address(url) if url else "—", q, v) for w, url, q, v in rows if v]
    folded = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in cells]
    card = Template(TEMPLATE.read_text(encoding="utf-8"))
    return card.render(account=describe_account(store, work), date=date, rows=folded)


def describe_account(store: Store, work: Path) -> str:
    """Count in sentences where each name, detection, source, paper and spectrum ended."""
    masks = read_catalogue(work)["masked"].to_pylist()
    masked = Counter(reason for reason in masks if reason)
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(masked.items()))
    of = {stage: store.counts(stage) for stage in ITEM_STAGES}
    total = {stage: sum(states.values()) for stage, states in of.items()}
    names, spectra, known = of[sources.STAGE], of[SPECTRA_STAGE], of[simbad.STAGE]
    papers, full = of[PAPERS_STAGE], of[full_texts.STAGE]
    asked = (sources.STAGE, SPECTRA_STAGE, simbad.STAGE, summaries.STAGE, PAPERS_STAGE)
    left = [f"{of[stage]['wanted']:,} {stage}" for stage in asked if of[stage]["wanted"]]
    sentences = {
        f"Of {total[sources.STAGE]:,} names, {names['got']:,} are sources of the catalogue.":
            total[sources.STAGE],
        f"Of {len(masks):,} ACIS detections, {sum(masked.values()):,} are masked"
        + (f" ({reasons})." if reasons else "."): True,
        f"SIMBAD knows {known['got']:,} of {total[simbad.STAGE]:,} sources; "
        f"{of[summaries.STAGE]['got']:,} have a summary.": True,
        f"ADS knows {papers['got']:,} of {total[PAPERS_STAGE]:,} papers.": True,
        f"Of {total[full_texts.STAGE]:,} full texts asked for, {full['got']:,} are open and "
        f"{full['failed']:,} failed.": total[full_texts.STAGE],
        f"Of {total[SPECTRA_STAGE]:,} spectra asked for, {spectra['got']:,} came, "
        f"{spectra['absent']:,} are not in the archive and {spectra['failed']:,} failed; "
        f"{of[counts.STAGE]['absent']:,} could not be read.": True,
        f"Still to come: {', '.join(left)}.": left,
    }  # fmt: skip
    return " ".join(sentence for sentence, said in sentences.items() if said)


def list_lost(store: Store, work: Path, shown: int = 3) -> str:
    """Name some items of each stage that failed or are absent, and list all in a file."""
    listing, lines = work / LOST_FILE, []
    with atomic_file(listing) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(("stage", "state", "item", "reason"))
        for stage, state in itertools.product(ITEM_STAGES, ("failed", "absent")):
            for number, item in enumerate(store.items(stage, (state,))):
                table.writerow((stage, state, item.id, item.why))
                if number < shown:
                    lines.append(f"  {stage}, {state}: {item.id}: {item.why}")
    return "\n".join([f"Not all came; {listing} lists them, such as", *lines]) if lines else ""

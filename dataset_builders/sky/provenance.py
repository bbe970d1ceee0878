"""Provenance of a dataset for its card: services, queries, versions, and outcomes of all items."""

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
from .services.http_session import public_address
from .settings import Selection, Services
from .work.store import Store

MISSING_FILE = "lost.tsv"
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
    """Render the provenance section of the dataset card."""
    selected = ", ".join(f"{name} {value}" for name, value in selection.summary().items())
    rows = [
        ("detections", services.csc_tap, f"TAP: {selected}", "CSC 2.1"),
        ("spectra", services.archive, "data products of these detections", "rel2.1"),
        ("identifiers, references", services.simbad_tap, "by name, else by position", "—"),
        ("papers, abstracts", services.ads, "by bibcode and SIMBAD number", "v1"),
        ("summaries", "", "highest-ranked papers of the source", summariser.name),
        ("text_embedding", "", "each of the three sections", embedder or ""),
    ]
    cells = [(d, public_address(url) if url else "—", q, v) for d, url, q, v in rows if v]
    escaped = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in cells]
    card = Template(TEMPLATE.read_text(encoding="utf-8"))
    return card.render(outcomes=describe_outcomes(store, work), date=date, rows=escaped)


def describe_outcomes(store: Store, work: Path) -> str:
    """Summarise in sentences the outcomes of names, detections, sources, papers and spectra."""
    masks = read_catalogue(work)["masked"].to_pylist()
    masked = Counter(reason for reason in masks if reason)
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(masked.items()))
    states = {stage: store.counts(stage) for stage in ITEM_STAGES}
    total = {stage: sum(of_stage.values()) for stage, of_stage in states.items()}
    names, spectra, objects = states[sources.STAGE], states[SPECTRA_STAGE], states[simbad.STAGE]
    papers, texts = states[PAPERS_STAGE], states[full_texts.STAGE]
    stages = (sources.STAGE, SPECTRA_STAGE, simbad.STAGE, summaries.STAGE, PAPERS_STAGE)
    pending = [f"{states[s]['wanted']:,} {s}" for s in stages if states[s]["wanted"]]
    sentences = {
        f"{names['got']:,} of {total[sources.STAGE]:,} names are sources of the catalogue.":
            total[sources.STAGE],
        f"{sum(masked.values()):,} of {len(masks):,} ACIS detections are masked"
        + (f" ({reasons})." if reasons else "."): True,
        f"{objects['got']:,} of {total[simbad.STAGE]:,} sources are in SIMBAD; "
        f"{states[summaries.STAGE]['got']:,} have a summary.": True,
        f"{papers['got']:,} of {total[PAPERS_STAGE]:,} papers are in ADS.": True,
        f"{texts['got']:,} of {total[full_texts.STAGE]:,} full texts were found; "
        f"{texts['failed']:,} failed.": total[full_texts.STAGE],
        f"{spectra['got']:,} of {total[SPECTRA_STAGE]:,} spectra were downloaded; "
        f"{spectra['absent']:,} are not in the archive, {spectra['failed']:,} failed and "
        f"{states[counts.STAGE]['absent']:,} could not be read.": True,
        f"Still queued: {', '.join(pending)}.": pending,
    }  # fmt: skip
    return " ".join(sentence for sentence, shown in sentences.items() if shown)


def report_missing(store: Store, work: Path, shown: int = 3) -> str:
    """List failed and absent items in a file, and return some of each stage."""
    listing, lines = work / MISSING_FILE, []
    with atomic_file(listing) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(("stage", "state", "item", "reason"))
        for stage, state in itertools.product(ITEM_STAGES, ("failed", "absent")):
            for number, item in enumerate(store.items(stage, (state,))):
                table.writerow((stage, state, item.id, item.reason))
                if number < shown:
                    lines.append(f"  {stage}, {state}: {item.id}: {item.reason}")
    return "\n".join([f"Failed or absent items (all are in {listing}):", *lines]) if lines else ""

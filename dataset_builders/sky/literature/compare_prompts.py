"""`specclip dataset prompts compare`: a measure of prompt versions on the same sources.

Structured prompts raised the purity of clusters of summaries in hardness, photon index and
variability by 6 to 58 % (arXiv 2511.14685). Measured here: that purity, and the share of the
quantities stated in the papers that a summary states too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.literature import TextEmbedder, embed_summaries, find_quantities, get_embedder

from ...tables.builder import DETECTIONS_FILE, SOURCES_FILE
from ...tables.columns import read_columns
from ...tables.plan import read_sources
from ..work.store import Store
from .bibliography import SourceLiterature, rank_papers
from .chat_model import DEFAULT_MODEL, ChatModel, add_model_options
from .summaries import ExtractiveSummariser, ModelSummariser, SummaryError

VARIABLES = ("hard_hs", "powlaw_gamma", "var_prob_b")
_CLUSTERINGS, _SHUFFLES = 5, 20
# Values of one kind that differ by less are the same value, rounded otherwise.
_SAME = 0.02
Sections = Mapping[str, str | None]


class AbstractsAsTheyAre:
    """Stand-in for a summariser: the abstracts themselves, for comparison."""

    name = "abstracts"

    def summarise(self, source: SourceLiterature, papers: Sequence[Any]) -> Sections:
        """Join the abstracts of the papers in one section."""
        text = " ".join(paper.abstract for paper in papers if paper.abstract)
        return {"identity": text, "spectrum": None, "context": None}


def compare(
    sources: Sequence[SourceLiterature],
    values: Mapping[str, np.ndarray],
    writers: Sequence[Any],
    embedder: TextEmbedder,
    *,
    papers_each: int = 12,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Summarise sources with each writer and measure the summaries.

    Args:
        sources: n of them, with papers.
        values: variable -> (n,) catalogue values, nan where there is none.
        writers: summarisers.
        embedder: of the summaries that are clustered.

    Returns:
        For each writer: `name`, `n` sources that all writers could summarise, `recall` of the
        stated quantities with its standard error `recall_error`, `invented` (share of the
        summary's quantities that no paper states), and for each variable `purity_NAME` and
        `chance_NAME`, the purity of shuffled values.
    """
    written: list[list[Sections]] = []
    for writer in writers:
        written.append([_written(writer, source, papers_each) for source in sources])
        n = sum(any(sections.values()) for sections in written[-1])
        print(f"{writer.name}: {n} of {len(sources)} summaries")
    kept = [n for n in range(len(sources)) if all(any(of[n].values()) for of in written)]
    abstracts = AbstractsAsTheyAre()
    stated = [_quantities(_written(abstracts, sources[n], papers_each)) for n in kept]
    rows = []
    for writer, of in zip(writers, written, strict=True):
        summaries = [of[n] for n in kept]
        said = [_quantities(sections) for sections in summaries]
        row = {"name": writer.name, "n": len(kept), **_recall(stated, said)}
        vectors = embed_summaries(summaries, embedder)
        for name, column in values.items():
            row |= _purity(name, vectors, column[kept], seed)
        rows.append(row)
    return rows


def _written(writer: Any, source: SourceLiterature, papers_each: int) -> Sections:
    try:
        return writer.summarise(source, source.behind_summary(papers_each))
    except SummaryError:
        return {}


def _quantities(sections: Sections) -> list[tuple[str, float]]:
    found = find_quantities(" ".join(filter(None, sections.values())))
    return sorted({(q.kind, q.value) for q in found if np.isfinite(q.value) and q.value})


def _holds(quantities: Sequence[tuple[str, float]], one: tuple[str, float]) -> bool:
    same = (v for kind, v in quantities if kind == one[0])
    return any(abs(value - one[1]) <= _SAME * abs(one[1]) for value in same)


def _recall(stated: Sequence[Any], said: Sequence[Any]) -> dict[str, float]:
    pairs = list(zip(stated, said, strict=True))
    hits = [np.mean([_holds(there, one) for one in given]) for given, there in pairs if given]
    invented = [not _holds(given, one) for given, there in pairs for one in there]
    return {
        "recall": float(np.mean(hits)) if hits else np.nan,
        "recall_error": float(np.std(hits) / len(hits) ** 0.5) if hits else np.nan,
        "invented": float(np.mean(invented)) if invented else 0.0,
    }


def _purity(name: str, vectors: np.ndarray, values: np.ndarray, seed: int) -> dict[str, float]:
    """Measure the share of sources in the commonest third of the values in their cluster."""
    from sklearn.cluster import KMeans
    from sklearn.metrics.cluster import contingency_matrix

    measured = np.isfinite(values)
    if measured.sum() < 6:
        return {f"purity_{name}": np.nan, f"chance_{name}": np.nan}
    vectors, values = vectors[measured], values[measured]
    thirds = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="right")
    n_clusters = int(np.clip(len(values) // 10, 2, 10))
    random = np.random.default_rng(seed)
    purities, chances = [], []
    for n in range(_CLUSTERINGS):
        clusters = KMeans(n_clusters, n_init=4, random_state=seed + n).fit_predict(vectors)

        def purity(labels: np.ndarray, clusters: np.ndarray = clusters) -> float:
            return contingency_matrix(labels, clusters).max(axis=0).sum() / len(labels)

        purities.append(purity(thirds))
        chances += [purity(random.permutation(thirds)) for _ in range(_SHUFFLES)]
    return {f"purity_{name}": float(np.mean(purities)), f"chance_{name}": float(np.mean(chances))}


def read_tables(
    folder: Path, n: int, seed: int
) -> tuple[list[SourceLiterature], dict[str, np.ndarray]]:
    """Draw sources with an abstract from local tables, and their catalogue values.

    Returns:
        `n` sources, or all there are, and variable -> values of the most significant detection.
    """
    table = read_sources(folder / SOURCES_FILE)
    columns = ("name", "flux_significance_b", *VARIABLES)
    detections = read_columns(folder / DETECTIONS_FILE, columns, ()).to_pandas()
    brightest = detections.sort_values("flux_significance_b").groupby("name").last()
    with_text = [
        row
        for row, papers in enumerate(table.papers)
        if any(paper.get("abstract") for paper in papers) and table.names[row] in brightest.index
    ]
    drawn = np.random.default_rng(seed).permutation(with_text)[:n]
    sources = []
    for row in sorted(drawn):
        papers = {paper["id"]: paper for paper in table.papers[row]}
        names = (table.names[row], *table.aliases[row])
        ranked = rank_papers(names, [{"bibcode": code} for code in papers], papers, {}, 20)
        of = (table.classes[row], table.hosts[row], tuple(ranked))
        sources.append(SourceLiterature(names[0], names[1:], *of))
    chosen = brightest.loc[[source.name for source in sources]]
    return sources, {name: chosen[name].to_numpy(float) for name in VARIABLES}


def format_comparison(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the measures as a table."""
    lines = [f"{rows[0]['n']} sources; purity of clusters (of shuffled values)"]
    head = ["prompt", "recall", "invented", *VARIABLES]
    lines.append("  ".join(f"{name:>14}" for name in head))
    for row in rows:
        cells = [row["name"][-14:], f"{row['recall']:.3f} ± {row['recall_error']:.3f}"]
        cells.append(f"{row['invented']:.3f}")
        cells += [f"{row[f'purity_{n}']:.3f} ({row[f'chance_{n}']:.3f})" for n in VARIABLES]
        lines.append("  ".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)


def add_command(commands: Any) -> None:
    """Add `prompts compare` to the commands."""
    prompts = commands.add_parser("prompts")
    parser = prompts.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "compare",
        help="summarise the same sources with several prompts and compare the summaries",
        description="Summarise N sources of local tables with each prompt, and print the purity of "
        "clusters of the summaries in hardness, photon index and variability, and the recall of "
        "the quantities that the papers state. `extractive` and `abstracts` need no model.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="folder of tables, as for `tables`")
    add("--prompts", nargs="+", default=["v1", "v2"], help="versions, extractive or abstracts")
    add("--sources", type=int, default=200, metavar="N", help="sources (default %(default)s)")
    add("--work", type=Path, help="folder that keeps the answers; none are paid for twice")
    add("--model", default=DEFAULT_MODEL, help="name at the server (default %(default)s)")
    add_model_options(parser)
    add("--embedder", default="offline", help="of the summaries (default %(default)s)")
    add("--seed", type=int, default=0, help="of sources and clusters (default 0)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare prompts; returns 0."""
    sources, values = read_tables(options.folder, options.sources, options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        offline = {"extractive": ExtractiveSummariser(), "abstracts": AbstractsAsTheyAre()}
        model = None
        if set(options.prompts) - set(offline):
            model = ChatModel.of_options(Store(options.work or scratch), options.model, options)
        writers = [
            offline[name] if name in offline or model is None else ModelSummariser(model, name)
            for name in options.prompts
        ]
        embedder = get_embedder(options.embedder)
        rows = compare(sources, values, writers, embedder, seed=options.seed)
    print(format_comparison(rows))
    if model is None:
        print("No model was asked: these are baselines, no evidence about a prompt.")
    return 0

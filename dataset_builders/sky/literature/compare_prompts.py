"""`specclip dataset prompts compare`: comparison of prompt versions on the same sources.

Measures the cluster purity of summaries in hardness, photon index and variability, which structured
prompts raised by 6 to 58 % in arXiv 2511.14685, and the recall of quantities stated in the papers.
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
_TOLERANCE = 0.02  # relative difference of values that are considered equal
Sections = Mapping[str, str | None]


class AbstractBaseline:
    """Baseline that uses the abstracts as summaries."""

    name = "abstracts"

    def summarise(self, source: SourceLiterature, papers: Sequence[Any]) -> Sections:
        """Join the abstracts of the papers in one section."""
        text = " ".join(paper.abstract for paper in papers if paper.abstract)
        return {"identity": text, "spectrum": None, "context": None}


def compare(
    sources: Sequence[SourceLiterature],
    values: Mapping[str, np.ndarray],
    summarisers: Sequence[Any],
    embedder: TextEmbedder,
    *,
    papers_each: int = 12,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Summarise sources with each summariser and measure the summaries.

    Args:
        sources: n sources with papers.
        values: variable -> (n,) catalogue values, nan if missing.
        embedder: text embedder for the clustering.

    Returns:
        For each summariser: `name`, `n` sources summarised by all, `recall` of the quantities in
        the abstracts with its standard error `recall_error`, `invented` (fraction of quantities in
        the summary that are in no abstract), and for each variable `purity_NAME` and
        `chance_NAME` (purity for shuffled values).
    """
    all_summaries: list[list[Sections]] = []
    for summariser in summarisers:
        summaries = [_summarise_or_empty(summariser, source, papers_each) for source in sources]
        all_summaries.append(summaries)
        n = sum(any(sections.values()) for sections in summaries)
        print(f"{summariser.name}: {n} of {len(sources)} summaries")
    common = [n for n in range(len(sources)) if all(any(s[n].values()) for s in all_summaries)]
    abstracts = AbstractBaseline()
    expected = [
        _quantities(_summarise_or_empty(abstracts, sources[n], papers_each)) for n in common
    ]
    rows = []
    for summariser, of_all_sources in zip(summarisers, all_summaries, strict=True):
        summaries = [of_all_sources[n] for n in common]
        actual = [_quantities(sections) for sections in summaries]
        row = {"name": summariser.name, "n": len(common), **_recall(expected, actual)}
        vectors = embed_summaries(summaries, embedder)
        for name, column in values.items():
            row |= _purity(name, vectors, column[common], seed)
        rows.append(row)
    return rows


def _summarise_or_empty(summariser: Any, source: SourceLiterature, papers_each: int) -> Sections:
    try:
        return summariser.summarise(source, source.summary_papers(papers_each))
    except SummaryError:
        return {}


def _quantities(sections: Sections) -> list[tuple[str, float]]:
    quantities = find_quantities(" ".join(filter(None, sections.values())))
    return sorted({(q.kind, q.value) for q in quantities if np.isfinite(q.value) and q.value})


def _contains_value(quantities: Sequence[tuple[str, float]], quantity: tuple[str, float]) -> bool:
    kind, value = quantity
    return any(k == kind and abs(v - value) <= _TOLERANCE * abs(value) for k, v in quantities)


def _recall(expected: Sequence[Any], actual: Sequence[Any]) -> dict[str, float]:
    pairs = list(zip(expected, actual, strict=True))
    recalls = [np.mean([_contains_value(out, q) for q in truth]) for truth, out in pairs if truth]
    invented = [not _contains_value(truth, q) for truth, out in pairs for q in out]
    return {
        "recall": float(np.mean(recalls)) if recalls else np.nan,
        "recall_error": float(np.std(recalls) / len(recalls) ** 0.5) if recalls else np.nan,
        "invented": float(np.mean(invented)) if invented else 0.0,
    }


def _purity(name: str, vectors: np.ndarray, values: np.ndarray, seed: int) -> dict[str, float]:
    """Compute the cluster purity of the terciles of a variable, and that of shuffled values."""
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
    """Draw at most `n` sources with an abstract from local tables.

    Returns:
        Sources, and variable -> catalogue values of their most significant detection.
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
        source_class, host = table.classes[row], table.hosts[row]
        sources.append(SourceLiterature(names[0], names[1:], source_class, host, tuple(ranked)))
    selected = brightest.loc[[source.name for source in sources]]
    return sources, {name: selected[name].to_numpy(float) for name in VARIABLES}


def format_comparison(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the results as a table."""
    lines = [f"{rows[0]['n']} sources; cluster purity (of shuffled values)"]
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
        help="compare prompts on the same sources",
        description="Summarise N sources of local tables with each prompt. Print the cluster "
        "purity of the summaries in hardness, photon index and variability, and the recall of the "
        "quantities in the abstracts. `extractive` and `abstracts` need no model.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="folder of tables, as for `dataset tables`")
    prompts = "prompt versions, extractive or abstracts (default v1 v2)"
    add("--prompts", nargs="+", default=["v1", "v2"], help=prompts)
    add("--sources", type=int, default=200, metavar="N", help="sample size (default %(default)s)")
    add("--work", type=Path, help="folder for the cache of model responses")
    add("--model", default=DEFAULT_MODEL, help="model name (default %(default)s)")
    add_model_options(parser)
    add("--embedder", default="offline", help="text embedder (default %(default)s)")
    add("--seed", type=int, default=0, help="seed of sample and clustering (default 0)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare prompts; returns 0."""
    sources, values = read_tables(options.folder, options.sources, options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        offline = {"extractive": ExtractiveSummariser(), "abstracts": AbstractBaseline()}
        model = None
        if set(options.prompts) - set(offline):
            model = ChatModel.from_options(Store(options.work or scratch), options.model, options)
        summarisers = [
            offline[name] if name in offline or model is None else ModelSummariser(model, name)
            for name in options.prompts
        ]
        embedder = get_embedder(options.embedder)
        rows = compare(sources, values, summarisers, embedder, seed=options.seed)
    print(format_comparison(rows))
    if model is None:
        print("No model was used: these are baselines and say nothing about prompts.")
    return 0

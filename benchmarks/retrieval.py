"""Nearest-neighbour search, and questions in words."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_specclip import SpecCLIPConfig, SpecCLIPModel
from hf_specclip.describe.answers import answer_question
from hf_specclip.literature import get_embedder
from hf_specclip.literature.sentence_sets import SENTENCE_NUMBERS
from hf_specclip.search.catalogue import CatalogueIndex
from hf_specclip.search.index import SpecCLIPIndex
from hf_specclip.search.text_queries import TextQueries

from .peers import installed
from .side_by_side import Comparison, compare

WIDTH = 64


def search(small: bool = False) -> Iterator[Comparison]:
    """Compare the search of the ten closest, exact and approximate, to that of other packages."""
    n, n_queries = (500, 10) if small else (100_000, 200)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(10, n // 50), WIDTH))
    vectors = unit(centres[rng.integers(len(centres), size=n)] + rng.normal(size=(n, WIDTH)))
    queries = unit(vectors[:n_queries] + 0.3 * rng.normal(size=(n_queries, WIDTH)) / 8)
    faiss, sentences = installed("faiss"), installed("sentence_transformers.util")
    index = SpecCLIPIndex([{"id": str(i)} for i in range(n)], vectors)
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(np.array_split(vectors, 4)):
            column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), WIDTH)
            pq.write_table(pa.table({"embedding": column}), Path(folder) / f"part-{number}.parquet")
        catalogue = CatalogueIndex.build(folder)
        rivals: dict[str, Callable[[], object] | None] = {
            "CatalogueIndex.search, exact, from disk": lambda: catalogue.search(queries, 10),
            "SpecCLIPIndex.search": lambda: index.search(queries, 10),
            "full argsort": lambda: np.argsort(-(queries @ vectors.T), axis=1)[:, :10],
        }
        direct = approximate = None
        if faiss is not None:
            flat = faiss.IndexFlatIP(WIDTH)
            flat.add(vectors)
            direct = lambda: flat.search(queries, 10)  # noqa: E731
            cells = max(1, min(round(4 * n**0.5), n // 40))
            ivf = faiss.index_factory(WIDTH, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
            ivf.train(vectors)
            ivf.add(vectors)
            ivf.nprobe = catalogue.probes
            approximate = lambda: ivf.search(queries, 10)  # noqa: E731
        rivals["FAISS IndexFlatIP"] = direct
        rivals["sentence-transformers semantic_search"] = (
            None
            if sentences is None
            else lambda: sentences.semantic_search(queries, vectors, top_k=10)
        )
        yield compare(f"10 closest of {n:,}, exact", (n_queries, "queries"), rivals, 3)
        if faiss is not None:
            yield compare(
                f"10 closest of {n:,}, approximate",
                (n_queries, "queries"),
                {
                    "CatalogueIndex.search(exact=False)": lambda: catalogue.search(
                        queries, 10, exact=False
                    ),
                    "FAISS IVF, SQ8": approximate,
                },
                5,
            )


def questions(small: bool = False) -> Iterator[Comparison]:
    """Time a question in words, from its text to ten sources, beside embedding alone."""
    n = 200 if small else 20_000
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        embedder = get_embedder("offline", cache_dir=folder)
        config = SpecCLIPConfig(
            text_config={
                "reads": "sentences",
                "embedding_dim": 384,
                "numbers_dim": SENTENCE_NUMBERS,
            },
            shared_dim=WIDTH,
        )  # fmt: skip
        queries = TextQueries(SpecCLIPModel(config).eval(), embedder)
        classes = ("QSO", "Seyfert_2", "LMXB", "Star", "YSO")
        index = SpecCLIPIndex(
            [{"id": str(i), "summary": {}} for i in range(n)],
            rng.normal(size=(n, WIDTH)),
            spectra=[
                {"id": f"s{i}", "source_name": f"S{i}", "class": classes[i % 5], "text": str(i)}
                for i in range(n)
            ],
            spectrum_embeddings=rng.normal(size=(n, WIDTH)),
            spectrum_columns={"powlaw_gamma": rng.normal(1.8, 0.3, n)},
        )
        numbers = count()  # each question is new, so that no cache answers
        yield compare(
            f"a question among {n:,} sources",
            (1, "questions"),
            {
                "answer_question": lambda: answer_question(
                    index, queries, f"obscured AGN with a photon index below 1.{next(numbers)}"
                ),
                "the sentence encoder alone": lambda: embedder.embed([f"AGN, {next(numbers)}"]),
            },
            9,
        )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise vectors to unit length, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

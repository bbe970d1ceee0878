"""Approximate search by FAISS, for indexes too large to compare with entry by entry.

The structure is built here from the vectors and never read from a file: FAISS files are parsed by
code that does not expect a stranger's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Links of a point in the graph, and how many candidates a search keeps (recall above 0.99 on the
# vectors of trained models).
_LINKS, _BUILD_WIDTH, _SEARCH_WIDTH = 32, 80, 128
# Cells looked into, as a share of all.
_PROBED = 8


def build_approximate(part: Any, method: str) -> Any:
    """A FAISS index over the vectors of an `IndexPart`, `"hnsw"` or `"ivf"`, for cosines.

    Raises:
        ImportError: where FAISS is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            f'searching by {method!r} needs FAISS: pip install "hf-specclip[index]"; '
            '"exact" needs nothing'
        ) from error
    vectors = np.ascontiguousarray(part.embeddings, np.float32)
    n, width = vectors.shape
    index: Any
    if method == "hnsw":
        index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _BUILD_WIDTH
        index.hnsw.efSearch = _SEARCH_WIDTH
    else:
        # FAISS wants 39 points for each cell it learns.
        cells = int(max(1, min(4 * np.sqrt(n), n // 39)))
        coarse = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFFlat(coarse, width, cells, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = max(1, min(cells, max(8, cells // _PROBED)))
        index.train(vectors)
    index.add(vectors)
    return index


__all__ = ["build_approximate"]

"""From papers to summaries to vectors: extracts, embedders and the cache that keeps them.

Importing this loads no model library; each name is fetched when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache import CachedEmbedder, CacheError, default_cache_dir
    from .embedder import EmbeddingError, TextEmbedder, get_embedder
    from .extractive import extractive_summary
    from .joined_embedder import JoinedEmbedder
    from .local_embedder import LocalEmbedder
    from .openai_embedder import OpenAIEmbedder
    from .quantities import QuantityEmbedder, find_quantities
    from .sentences import split_sentences
    from .summary import SECTIONS, embed_summaries, section_mask
    from .terms import TermEmbedder, find_gradings
    from .words import WordEmbedder

_HOMES = {
    "CacheError": "cache",
    "CachedEmbedder": "cache",
    "EmbeddingError": "embedder",
    "JoinedEmbedder": "joined_embedder",
    "LocalEmbedder": "local_embedder",
    "OpenAIEmbedder": "openai_embedder",
    "QuantityEmbedder": "quantities",
    "SECTIONS": "summary",
    "TermEmbedder": "terms",
    "TextEmbedder": "embedder",
    "WordEmbedder": "words",
    "default_cache_dir": "cache",
    "embed_summaries": "summary",
    "extractive_summary": "extractive",
    "get_embedder": "embedder",
    "find_gradings": "terms",
    "find_quantities": "quantities",
    "section_mask": "summary",
    "split_sentences": "sentences",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))


__all__ = [
    "SECTIONS",
    "CacheError",
    "CachedEmbedder",
    "EmbeddingError",
    "JoinedEmbedder",
    "LocalEmbedder",
    "OpenAIEmbedder",
    "QuantityEmbedder",
    "TermEmbedder",
    "TextEmbedder",
    "WordEmbedder",
    "default_cache_dir",
    "embed_summaries",
    "extractive_summary",
    "find_gradings",
    "find_quantities",
    "get_embedder",
    "section_mask",
    "split_sentences",
]

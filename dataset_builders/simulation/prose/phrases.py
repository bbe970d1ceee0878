"""Phrase tables: one YAML file beside the module that writes with them.

Lists are read as tuples. `!scale` is a `WordScale` of [limit, phrase] pairs; `!class`, `!host` and
`!model` are a `LabelTable` of that quantity; `!notations` are several `Notation`. `!uniform`,
`!randrange` and `!choice` are draws by that method of a `random.Random`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from operator import methodcaller
from types import SimpleNamespace

import yaml

from .notation import Notation
from .reporter import LabelTable, WordScale


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with tuples, word scales and label tables."""


def _tuple(loader: _Loader, node: yaml.SequenceNode) -> tuple[object, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _table(loader: _Loader, kind: str, node: yaml.Node) -> object:
    if kind == "scale":
        return WordScale.from_table(_tuple(loader, node))
    if kind == "notations":
        return tuple(Notation(**notation) for notation in _tuple(loader, node))
    if kind in ("uniform", "randrange"):
        return methodcaller(kind, *_tuple(loader, node))
    if kind == "choice":
        return methodcaller(kind, _tuple(loader, node))
    return LabelTable(kind, loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:seq", _tuple)
_Loader.add_multi_constructor("!", _table)


@cache
def read_phrases(module: str) -> SimpleNamespace:
    """Read the phrase tables of a module, such as `writers/notice`; entries are attributes."""
    file = resources.files(__package__) / f"{module}.yaml"
    return SimpleNamespace(**yaml.load(file.read_text("utf-8"), _Loader))

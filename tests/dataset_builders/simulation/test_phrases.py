"""Phrase tables of the writers: brackets match, slots are filled, scales rise."""

import re
from importlib import resources
from math import inf
from random import Random
from string import Formatter

import pytest
import yaml

from specclip_datasets.simulation.prose import WRITERS
from specclip_datasets.simulation.prose.composition import FILLERS
from specclip_datasets.simulation.prose.grammar import expand
from specclip_datasets.simulation.prose.reporter import WordScale

PROSE = resources.files("specclip_datasets.simulation.prose")
# Modules that fill in slots for several writers.
SHARED = ("source_text", "reporter", "writers/source_slots", "writers/survey_source")
# Entries that hold no templates.
NO_TEMPLATES = {"notations", "typesets", "errors", "fillers", "parts", "padding", "sections"}


class Tags(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML without the objects that its tags stand for."""


def untagged(loader, kind, node):
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    items = loader.construct_sequence(node, deep=True)
    return WordScale(tuple(map(tuple, items))) if kind == "scale" else items


Tags.add_multi_constructor("!", untagged)


def leaves(table):
    if isinstance(table, dict):
        table = list(table.values())
    if isinstance(table, list):
        for item in table:
            yield from leaves(item)
    else:
        yield table


def slots(template):
    for _, name, form, _ in Formatter().parse(template):
        if name:
            yield name
            yield from slots(form)


MODULES = ["papers", *(f"writers/{writer.name}" for writer in WRITERS)]


@pytest.fixture(scope="module", params=MODULES)
def tables(request):
    text = (PROSE / f"{request.param}.yaml").read_text("utf-8")
    return request.param, yaml.load(text, Tags)


def test_choices_are_balanced_and_slots_are_known(tables):
    name, entries = tables
    code = "".join((PROSE / f"{module}.py").read_text("utf-8") for module in (name, *SHARED))
    names = r"(?:def _|self\._|\n    _)(\w+)|\b([a-zA-Z_]\w*)=|\"(\w+)\""
    known = set(re.findall(names, code))
    known = {word for words in known for word in words} | {*FILLERS}
    numbers = [table for key, table in entries.items() if key.endswith(("fillers", "numbers"))]
    known = known.union(*numbers)
    for key, table in entries.items():
        for template in leaves(table) if key not in NO_TEMPLATES else ():
            phrases = (
                [phrase for _, phrase in template.steps]
                if isinstance(template, WordScale)
                else [template]
            )
            for phrase in filter(lambda item: isinstance(item, str), phrases):
                expand(phrase, Random(0))
                assert all({slot, slot.lower()} & known for slot in slots(phrase)), (key, phrase)


def test_word_scales_rise_to_infinity(tables):
    scales = [scale for scale in leaves(tables[1]) if isinstance(scale, WordScale)]
    for scale in scales:
        limits = [limit for limit, _ in scale.steps]
        assert limits == sorted(set(limits)), scale
        assert limits[-1] == inf, scale

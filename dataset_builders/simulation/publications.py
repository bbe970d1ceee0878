"""Simulated publications: papers on single sources, fields, samples and surveys."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from ..splits import SURVEY_LIMIT
from .detections import Sources
from .knobs import stream, text_stream
from .prose import Paper, write_paper
from .source_classes import CLASS_NAMES

# Papers on a few sources of different fields, per field.
_SAMPLE_PAPERS = 0.06
# Share of the sources that are in a survey, and sources of each: more than `SURVEY_LIMIT`, or
# surveys would link their sources.
_SURVEY_SHARE, _SURVEY_SIZE = 0.35, 60


def publish_papers(
    seed: int, sources: Sources, field_names: Sequence[str | None]
) -> list[list[Paper]]:
    """Write papers on single sources, on fields, on small samples, and surveys.

    Returns:
        Papers of each source, (n).
    """
    n = len(sources.names)
    random = stream(seed, "papers")
    about: list[list[tuple[str, int]]] = [[] for _ in range(n)]  # kind and number of each paper
    in_field: dict[int, list[int]] = {}
    for source, field in enumerate(sources.field):
        in_field.setdefault(int(field), []).append(source)
    numbers = itertools.count()

    def publish(kind: str, members: Iterable[int]) -> None:
        paper = (kind, next(numbers))
        for member in members:
            about[member].append(paper)

    uniform = random.random(n)
    for members in in_field.values():
        if len(members) > 1 or uniform[members[0]] < 0.5:
            publish("field", members[:SURVEY_LIMIT])
    for source in range(n):
        if uniform[source] < 0.55 or not about[source]:
            publish("source", [source])
    by_class: dict[int, list[int]] = {}
    for source in random.permutation(n):
        by_class.setdefault(int(sources.class_index[source]), []).append(int(source))
    for _ in range(int(_SAMPLE_PAPERS * len(in_field))):
        members = by_class[int(sources.class_index[random.integers(n)])]
        start = int(random.integers(len(members)))
        size = 2 + int(random.random() < 0.3)
        publish("sample", members[start : start + size])
    surveyed = random.permutation(n)[: int(_SURVEY_SHARE * n)]
    for start in range(0, len(surveyed) - SURVEY_LIMIT, _SURVEY_SIZE):
        publish("survey", surveyed[start : start + _SURVEY_SIZE])
    written: dict[int, Paper] = {}
    for source, papers in enumerate(about):
        host = field_names[sources.field[source]] or ""
        first = CLASS_NAMES[sources.class_index[source]], sources.names[source], host
        for kind, number in papers:
            if number not in written:
                random_text = text_stream(seed, "paper", number)
                written[number] = write_paper(kind, number, *first, random_text)
    return [[written[number] for _, number in papers] for papers in about]

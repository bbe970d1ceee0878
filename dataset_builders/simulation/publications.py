"""Simulated publications: papers on single sources, fields, samples and surveys."""

from __future__ import annotations

from collections.abc import Sequence

from ..splits import SURVEY_LIMIT
from .detections import Sources
from .knobs import stream, text_stream
from .prose import Paper, Subject, write_paper
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
    about: list[list[Subject]] = [[] for _ in range(n)]
    in_field: dict[int, list[int]] = {}
    for source, field in enumerate(sources.field):
        in_field.setdefault(int(field), []).append(source)

    number = 0

    def publish(kind: str, members: list[int], name: str) -> None:
        nonlocal number
        subject = Subject(kind, number, name)
        number += 1
        for member in members:
            about[member].append(subject)

    uniform = random.random(n)
    for field, members in in_field.items():
        if len(members) > 1 or uniform[members[0]] < 0.5:
            publish("field", members[:SURVEY_LIMIT], field_names[field] or "")
    for source in range(n):
        if uniform[source] < 0.55 or not about[source]:
            publish("source", [source], "")
    fields = sorted(in_field)
    by_class: dict[int, list[int]] = {}
    for source in random.permutation(n):
        by_class.setdefault(int(sources.class_index[source]), []).append(int(source))
    for _ in range(int(_SAMPLE_PAPERS * len(fields))):
        members = by_class[int(sources.class_index[random.integers(n)])]
        start = int(random.integers(len(members)))
        size = 2 + int(random.random() < 0.3)
        publish("sample", members[start : start + size], "")
    surveyed = random.permutation(n)[: int(_SURVEY_SHARE * n)]
    for start in range(0, len(surveyed) - SURVEY_LIMIT, _SURVEY_SIZE):
        members = [int(source) for source in surveyed[start : start + _SURVEY_SIZE]]
        publish("survey", members, "")
    written: dict[int, Paper] = {}
    papers: list[list[Paper]] = []
    for source in range(n):
        label = CLASS_NAMES[sources.class_index[source]]
        for subject in about[source]:
            if subject.number not in written:
                written[subject.number] = write_paper(
                    subject,
                    label,
                    sources.names[source],
                    field_names[sources.field[source]] or "",
                    text_stream(seed, "paper", subject.number),
                )
        papers.append([written[subject.number] for subject in about[source]])
    return papers

"""Simulated publications: papers on single sources, fields, samples and surveys."""

from __future__ import annotations

from collections.abc import Sequence

from .detections import Sources
from .knobs import Knobs, stream, text_stream
from .prose import Paper, Subject, write_paper
from .source_classes import CLASS_NAMES


def publish_papers(
    knobs: Knobs, sources: Sources, field_names: Sequence[str | None]
) -> list[list[Paper]]:
    """Write papers on single sources, on fields, on small samples, and surveys.

    Args:
        knobs: settings of the universe.
        sources: its sources, (n).
        field_names: name of each field, None without.

    Returns:
        The papers of each source, (n).
    """
    n = len(sources.names)
    random = stream(knobs.seed, "papers")
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

    own = random.random(n)
    for field, members in in_field.items():
        if len(members) > 1 or own[members[0]] < 0.5:
            publish("field", members[: knobs.survey_limit], field_names[field] or "")
    for source in range(n):
        if own[source] < 0.55 or not about[source]:
            publish("source", [source], "")
    fields = sorted(in_field)
    by_class: dict[int, list[int]] = {}
    for source in random.permutation(n):
        by_class.setdefault(int(sources.class_index[source]), []).append(int(source))
    for _ in range(int(knobs.sample_papers * len(fields))):
        members = by_class[int(sources.class_index[random.integers(n)])]
        start = int(random.integers(len(members)))
        size = 2 + int(random.random() < 0.3)
        publish("sample", members[start : start + size], "")
    surveyed = random.permutation(n)[: int(knobs.survey_share * n)]
    for start in range(0, len(surveyed) - knobs.survey_limit, knobs.survey_size):
        members = [int(source) for source in surveyed[start : start + knobs.survey_size]]
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
                    text_stream(knobs.seed, "paper", subject.number),
                )
        papers.append([written[subject.number] for subject in about[source]])
    return papers

"""Sentences that name a class of X-ray sources, for zero-shot classification.

Several names and several sentences stand for a class (Radford et al. 2021, section 3.1.4): their
mean in the shared space is steadier than any single one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..literature import class_names, find_class

# A template is a summary: section -> sentence. `{name}` and `{Name}` take a name with its article,
# `{spectrum}` and `{context}` the typical spectrum and environment of the class.
TEMPLATES: tuple[Mapping[str, str], ...] = (
    {"identity": "The X-ray source is {name}."},
    {"identity": "It is identified as {name}.", "spectrum": "{spectrum}"},
    {
        "identity": "{Name} accounts for the X-ray emission.",
        "spectrum": "{spectrum}",
        "context": "{context}",
    },
)


def class_prompts(
    label: str, templates: Sequence[Mapping[str, str]] = TEMPLATES
) -> list[dict[str, str]]:
    """Write summaries that name a class, for each of its names and each template.

    Args:
        label: class, such as `"LMXB"`, or words, such as `"a white dwarf in outburst"`.
        templates: see `TEMPLATES`; one that needs an unknown spectrum or environment is left out.

    Raises:
        ValueError: for an empty class, or templates none of which names it.
    """
    if not label.strip("*? "):
        raise ValueError("a class needs a name")
    known = find_class(label)
    spectrum, context = (known.spectrum, known.context) if known else ("", "")
    prompts = []
    for template in templates:
        text = " ".join(template.values())
        if ("{spectrum}" in text and not spectrum) or ("{context}" in text and not context):
            continue
        for name in class_names(label):
            words = {
                "{name}": name,
                "{Name}": name[:1].upper() + name[1:],
                "{spectrum}": spectrum,
                "{context}": context,
            }
            prompts.append({section: _fill(text, words) for section, text in template.items()})
    if not any("{name}" in t or "{Name}" in t for each in templates for t in each.values()):
        raise ValueError("no template contains {name}, so the classes would be indistinguishable")
    if not prompts:
        raise ValueError(f"every template needs the typical spectrum or context of {label!r}")
    return prompts


def _fill(text: str, words: Mapping[str, str]) -> str:
    # Replaced and not formatted: a template may come from a file, and braces in `str.format` reach
    # into objects.
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text


__all__ = ["TEMPLATES", "class_prompts"]

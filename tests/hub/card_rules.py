"""Rules of the Hub for the metadata of a card, as far as the cards of this package meet them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from huggingface_hub import ModelCard

LICENSES = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc0-1.0", "other", "unknown")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SDKS = ("gradio", "docker", "static", "streamlit")


def front_matter(text: str) -> dict[str, Any] | None:
    found = re.match(r"^---\r?\n(.*?)\r?\n---(\r?\n|$)", text, re.DOTALL)
    if not found:
        return {}
    try:
        values = yaml.safe_load(found[1]) or {}
    except yaml.YAMLError:
        return None
    return json.loads(json.dumps(values, default=str)) if isinstance(values, dict) else None


def card_errors(text: str, kind: str) -> Iterator[str]:
    """Yield the errors that the Hub would find in a card."""
    card = front_matter(text)
    if card is None:
        yield "the metadata is not YAML, or no mapping"
        return
    if card.get("license") not in (None, *LICENSES):
        yield f'"license" must be one of [{", ".join(LICENSES)}]'
    tags = card.get("tags")
    if tags is not None and not (
        isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
    ):
        yield '"tags" must be an array of strings'
    if kind == "space":
        if card.get("sdk") not in SDKS:
            yield f'"sdk" must be one of [{", ".join(SDKS)}]'
        for name in ("colorFrom", "colorTo"):
            if card.get(name) not in (None, *COLOURS):
                yield f'"{name}" must be one of [{", ".join(COLOURS)}]'
        if len(str(card.get("short_description", ""))) > 60:
            yield '"short_description" must be at most 60 characters'
    if kind == "model":
        try:
            results = ModelCard(text).data.eval_results or []
        except (KeyError, TypeError, ValueError) as error:
            yield f'"model-index" lacks {error}'
        else:
            if any(result.metric_value is None for result in results):
                yield '"model-index": a metric has no value'

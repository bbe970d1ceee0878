"""Text parts of the page; the templates escape whatever comes from files and indexes."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from ..describe.description import Description
from ..describe.html import file_name, template_environment

_TEMPLATES = ("parts", "sections")
_SPECTRUM_SUFFIXES = (".gz", ".fits", ".pha", ".pi")


def render(part: str, *values: Any) -> str:
    """Write a part of the page.

    Args:
        part: name of a macro of `parts.html.jinja`, or of `sections.html.jinja` of descriptions.
        values: its arguments.
    """
    environment = template_environment("hf_specclip.app", "hf_specclip.describe")
    modules = [environment.get_template(f"{name}.html.jinja").module for name in _TEMPLATES]
    macro = next(getattr(module, part) for module in modules if hasattr(module, part))
    return str(macro(*values))


def render_exports(description: Description) -> str:
    """Write links to a description as JSON, ECSV and HTML; each link holds its file."""
    table = io.StringIO()
    description.to_table().write(table, format="ascii.ecsv")
    contents = {
        "json": ("application/json", json.dumps(description.to_dict(), indent=2, allow_nan=False)),
        "ecsv": ("text/plain", table.getvalue()),
        "html": ("text/html", description.to_html()),
    }
    stem = str(description.title)
    for suffix in _SPECTRUM_SUFFIXES:
        stem = stem.removesuffix(suffix)
    stem = "".join(c if c.isalnum() or c in "+-." else "_" for c in file_name(stem)) or "spectrum"
    files = [
        {
            "suffix": suffix,
            "name": f"{stem}.{suffix}",
            "address": f"data:{media_type};base64,{base64.b64encode(text.encode()).decode()}",
        }
        for suffix, (media_type, text) in contents.items()
    ]
    return render("exports", files)

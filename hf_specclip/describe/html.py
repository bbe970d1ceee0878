"""Descriptions as one self-contained HTML page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..formatting import format_number, format_range
from .description import Description
from .limitations import VARIABILITY
from .measured import fit_lines, fit_values, variability_lines
from .neighbours import position_name

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def template_environment(*packages: str) -> Environment:
    """Return a jinja2 environment of the `templates/` folders of some packages.

    Every value is escaped, since names and titles come from files and indexes of strangers.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "file_name": file_name}
    environment.globals |= {
        "range_of": _range,
        "fit_lines": fit_lines,
        "fit_values": fit_values,
        "variability_lines": variability_lines,
        "position_name": position_name,
        "variability": VARIABILITY,
    }
    return environment


def render_page(descriptions: Sequence[Description], title: str | None = None) -> str:
    """Write descriptions as a page: an overview where there are several, then one section each.

    Args:
        descriptions: one or more.
        title: of the page; the name of the spectrum, or their number, where None.

    Returns:
        HTML that loads nothing and runs no script; links lead to ADS, arXiv and doi.org.

    Raises:
        ValueError: without descriptions.
        ImportError: where matplotlib is not installed.
    """
    from markupsafe import Markup

    from .plot import to_svg

    if not descriptions:
        raise ValueError("no descriptions for a page")
    if title is None:
        several = len(descriptions) > 1
        title = f"{len(descriptions)} spectra" if several else file_name(descriptions[0].title)
    # Ids within an SVG are made unique, so that two figures do not share a clip path.
    plots = [
        Markup(re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>p{number}-", to_svg(description)))
        for number, description in enumerate(descriptions, start=1)
    ]
    template = template_environment("hf_specclip.describe").get_template("report.html.jinja")
    return template.render(title=title, descriptions=descriptions, plots=plots) + "\n"


def _number(value: float | None) -> str:
    return format_number(value).replace("-", "−")


def _range(low: float | None, high: float | None) -> str:
    return format_range(low, high).replace("-", "−")


def file_name(path: str) -> str:
    """Return the last part of a path, of any operating system."""
    return path.replace("\\", "/").rpartition("/")[2]

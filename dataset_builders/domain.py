"""Domain of a dataset: spectral axis, text sections and target variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_specclip.models.variables_specclip import AXIS, SECTIONS


@dataclass(frozen=True)
class Domain:
    """Spectral axis, text sections and target variables of a dataset; X-ray by default.

    Attributes:
        axis: axis of the counts, such as `energy`, `wavelength` or `time`.
        axis_unit: unit of the axis, in which its range must be below 1,000.
        sections: names of the sections of a summary, in the order of their embeddings.
        variables: `(name, unit)` of each target variable; None for the 20 of the catalogue.
            68 % intervals are in optional columns `<name>_lolim` and `<name>_hilim`.
        on_sky: True if every row needs a position.

    Raises:
        ValueError: empty or repeated names.
    """

    axis: str = AXIS[0]
    axis_unit: str = AXIS[1]
    sections: tuple[str, ...] = SECTIONS
    variables: tuple[tuple[str, str], ...] | None = None
    on_sky: bool = True

    def __post_init__(self) -> None:
        if not self.axis or not self.axis_unit:
            raise ValueError("axis and axis_unit must be named")
        names = [name for name, _ in self.variables or ()]
        for label, words in (("sections", list(self.sections)), ("variables", names)):
            empty = label == "sections" and not words
            if empty or len(set(words)) != len(words) or not all(words):
                raise ValueError(f"{label} are {words}, they must be different names")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Domain:
        """Read a domain from the content of `specclip_dataset.json`.

        Raises:
            ValueError: invalid value; the message names the key.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"domain is {content!r}, not an object")
        values: dict[str, Any] = {}
        for key in ("axis", "axis_unit"):
            if key in content:
                if not isinstance(content[key], str):
                    raise ValueError(f"domain.{key} is {content[key]!r}, not a text")
                values[key] = content[key]
        sections = content.get("sections", list(SECTIONS))
        if not isinstance(sections, list) or not all(isinstance(s, str) for s in sections):
            raise ValueError(f"domain.sections is {sections!r}, not a list of names")
        variables = content.get("variables")
        if variables is not None:
            if not isinstance(variables, dict) or not all(
                isinstance(unit, str) for unit in variables.values()
            ):
                raise ValueError("domain.variables must map names to units")
            variables = tuple(variables.items())
        on_sky = content.get("on_sky", True)
        if not isinstance(on_sky, bool):
            raise ValueError(f"domain.on_sky is {on_sky!r}, not true or false")
        return cls(**values, sections=tuple(sections), variables=variables, on_sky=on_sky)

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            "axis": self.axis,
            "axis_unit": self.axis_unit,
            "sections": list(self.sections),
            "variables": None if self.variables is None else dict(self.variables),
            "on_sky": self.on_sky,
        }


XRAY = Domain()

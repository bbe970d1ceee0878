"""Style of a universe's literature."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Manner:
    """Probabilities that decide the content and wording of summaries.

    The defaults are the calibration's (see `specclip_datasets.simulation.builder`).

    Attributes:
        usual: chance that a summary is written in the usual words throughout; otherwise each of the
            ways to put a thing is as likely.
        stated_numbers: chance that a measured quantity is stated as a number.
        stated_words: chance that a quantity is told in words.
        repeated: chance that the first section brings up colour and brightness, too, from
            measurements of its own.
        asides: chance of each remark that tells of the class, the work or the motive, and little
            or nothing of the spectrum.
        named: chance that a section calls the source, or where it lives, by name.
        silent: chance that the spectral section says nothing about the spectrum.
        wrong: chance that the literature is mistaken about the source.
        stated_errors: factor on the errors of all measurements.
    """

    usual: float = 0.9
    stated_numbers: float = 0.1
    stated_words: float = 0.97
    repeated: float = 1.0
    asides: float = 0.02
    named: float = 0.01
    silent: float = 0.02
    wrong: float = 0.02
    stated_errors: float = 0.5

    def __post_init__(self) -> None:
        for name in _CHANCES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from 0 to 1")
        if not 0.0 < self.stated_errors < float("inf"):
            raise ValueError(f"stated_errors is {self.stated_errors}: it must be above 0")


MANNERS = tuple(field.name for field in fields(Manner))
_CHANCES = tuple(name for name in MANNERS if name != "stated_errors")

__all__ = ["MANNERS", "Manner"]

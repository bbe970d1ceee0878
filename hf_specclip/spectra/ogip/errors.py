"""Error raised for a spectrum or response file that cannot be used."""

from __future__ import annotations

from ...errors import SpecCLIPError


class SpectrumFileError(SpecCLIPError, ValueError):
    """Unusable spectrum or response file, with the remedy.

    Args:
        problem: what is wrong, in one clause.
        path: the file, where there is one.
        place: the HDU, column or keyword at fault.
        mend: what the reader of the message can do about it.

    The message is ``file, place: problem. Mend.``; the parts stay readable as attributes.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: object = None,
        place: str | None = None,
        mend: str | None = None,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else str(path)
        self.place = place
        self.mend = mend
        where = ", ".join(part for part in (self.path, place) if part)
        message = f"{where}: {problem}" if where else problem
        if mend:
            message = f"{message.rstrip('.')}. {mend[0].upper()}{mend[1:].rstrip('.')}."
        super().__init__(message)


class NoCountsError(SpectrumFileError):
    """Numbers that cannot be counts: below zero, or fractions without errors of their own."""

"""Errors of SpecCLIP: one base class, and the child for files that cannot be trusted.

Modules define further children beside the code that raises them. Each also inherits from the
built-in error it specialises, so that `except ValueError` keeps working.
"""


class SpecCLIPError(Exception):
    """Base class of every error that SpecCLIP raises on purpose; the message says what to do."""


class FileFormatError(SpecCLIPError, ValueError):
    """A file that is damaged, hostile or of another format; the message names it and the mend."""


__all__ = ["FileFormatError", "SpecCLIPError"]

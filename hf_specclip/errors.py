"""Base class of SpecCLIP's errors, and the error for unreadable or untrusted files.

Modules define further subclasses next to the code that raises them. Each also inherits from the
built-in error that it specialises, so that `except ValueError` keeps working.
"""


class SpecCLIPError(Exception):
    """Base class of SpecCLIP's errors; the message says what to do."""


class FileFormatError(SpecCLIPError, ValueError):
    """A file is damaged, unsafe or of another format; the message names it and the remedy."""


__all__ = ["FileFormatError", "SpecCLIPError"]

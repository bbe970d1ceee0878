"""Terse note on a source of a catalogue."""

from ...writer import Writer
from .note import write

WRITER = Writer("catalogue_note", write, wrong=0.03, errors=1.1)

__all__ = ["WRITER"]

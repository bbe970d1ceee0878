"""Simulated literature about a source: papers, and a summary by one of several writers.

A summary knows the source's truth and nothing of any row: what it states was measured at another
time, with an error of its own, rounded as papers round. Some things are told in words only, some
not at all. Whatever is stated is also noted as a `Statement`, so that its likelihood can be
computed. Names of hosts and catalogue numbers lie outside the ranges that real catalogues use, and
bibcodes name a journal (`SimAp`) that does not exist.
"""

from .facts import Facts, Paper
from .papers import name_fields, write_paper
from .reporter import Writer
from .statements import Statement, Summary
from .summary import choose_writers, mistaken, write_summary
from .writers import WRITERS

__all__ = [
    "WRITERS", "Facts", "Paper", "Statement", "Summary", "Writer", "choose_writers", "mistaken",
    "name_fields", "write_paper", "write_summary",
]  # fmt: skip

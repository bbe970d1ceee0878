"""Simulated literature about a source: papers, and a summary in three sections.

A summary knows the source's truth and nothing of any row: what it states was measured at another
time, with an error of its own, rounded as papers round. Some things are told in words only, some
not at all. Whatever is stated is also noted as a `Statement`, so that its likelihood can be
computed. Names of hosts and catalogue numbers lie outside the ranges that real catalogues use, and
bibcodes name a journal (`SimAp`) that does not exist.
"""

from .facts import Facts, Paper
from .manner import MANNERS, Manner
from .names import name_fields
from .papers import Subject, write_paper
from .statements import Statement, Summary
from .summary import mistaken, write_summary

__all__ = [
    "MANNERS",
    "Facts",
    "Manner",
    "Paper",
    "Statement",
    "Subject",
    "Summary",
    "mistaken",
    "name_fields",
    "write_paper",
    "write_summary",
]

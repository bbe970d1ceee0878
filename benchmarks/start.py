"""Start-up time of the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from .side_by_side import ROOT, Comparison, compare


def cold_start(small: bool = False) -> Iterator[Comparison]:
    """`specclip --help` from nothing, beside what Python and numpy take themselves."""

    def run(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True
        )

    yield compare(
        "cold start",
        (1, "starts"),
        {
            "specclip --help": run("-m", "hf_specclip.cli.main", "--help"),
            "python alone": run("-c", "pass"),
            "import numpy": run("-c", "import numpy"),
        },
        1 if small else 7,
    )

"""Time of the command line from a cold start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .side_by_side import ROOT, Comparison, compare


def cold_start(small: bool = False) -> Iterator[Comparison]:
    """Compare `--help` with bare Python, and `describe` with importing what it needs."""

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
    with tempfile.TemporaryDirectory() as folder:
        command = ("-m", "hf_specclip.cli.main")
        file = str(Path(folder) / "example.pha")
        run(*command, "dataset", "example", "--output", file)()
        yield compare(
            "description by the bundled model, cold start",
            (1, "starts"),
            {
                "specclip describe": run(*command, "describe", "--model", "default", file),
                "import torch, transformers, astropy": run(
                    "-c", "import torch, transformers, astropy.io.fits"
                ),
            },
            1 if small else 3,
        )

"""Processes that run a piece of the builders, to be killed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# `specclip_datasets` imports `datasets`, seconds that each of these processes need not wait for: a
# bare package of the same name lets its modules be imported alone.
HEAD = f"""
import sys
import types
package = types.ModuleType("specclip_datasets")
package.__path__ = [{str(ROOT / "dataset_builders")!r}]
sys.modules["specclip_datasets"] = package
"""


def start_worker(code: str) -> subprocess.Popen:
    """A process that runs `code`; what it prints can be read from `stdout`."""
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )

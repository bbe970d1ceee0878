"""Runs of several training commands, whose tests share them."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
}  # fmt: skip


def run_plan(plan: dict[str, dict], root: Path) -> None:
    """Run the commands of a plan by `chain.py`; leave `record.json` in `root`."""
    done = subprocess.run(
        [sys.executable, str(HERE / "chain.py"), json.dumps(list(plan.values()))],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=600, cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    codes = dict(zip(plan, json.loads(done.stdout.splitlines()[-1]), strict=True))
    record = {"codes": codes, "output": done.stdout, "errors": done.stderr}
    (root / "record.json").write_text(json.dumps(record))


def read_record(root: Path) -> tuple[dict[str, int], str, str]:
    """Return exit codes by name, output and errors."""
    return tuple(json.loads((root / "record.json").read_text()).values())

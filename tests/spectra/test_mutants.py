"""Mutants of the real sets: read, or refused by our own error, soon and in little memory."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from mutants import faults

MUTANTS = int(os.environ.get("SPECCLIP_MUTANTS", "20000"))
AT_ONCE = 500


@pytest.mark.slow
def test_mutants_of_real_files(real_data):
    """No crash, hang or foreign error, and no change of numbers that a checksum would tell."""
    folder = str(real_data / "chandra_spectra")
    parts = [range(at, min(at + AT_ONCE, MUTANTS)) for at in range(0, MUTANTS, AT_ONCE)]
    workers = min(2, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, get_context("spawn"), max_tasks_per_child=4) as pool:
        found = [fault for part in pool.map(faults, [folder] * len(parts), parts) for fault in part]
    assert not found, f"{len(found)} of {MUTANTS}:\n" + "\n".join(found[:5])

"""Mutants of the real sets: read, or refused by our own error, soon and in little memory."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from mutants import faults

MUTANTS = int(os.environ.get("SPECCLIP_MUTANTS", "20000"))
AT_ONCE = 250


@pytest.mark.slow
def test_mutants_of_real_files(real_data):
    """No crash, hang or foreign error, and no change of numbers that a checksum would tell."""
    folder = str(real_data / "chandra_spectra")
    workers = min(2, os.cpu_count() or 1)
    found: list[str] = []
    # Fresh processes now and then: what little each mutant leaves would add up to their limit.
    for start in range(0, MUTANTS, workers * AT_ONCE):
        stop = min(start + workers * AT_ONCE, MUTANTS)
        parts = [range(start + worker, stop, workers) for worker in range(workers)]
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            found += [
                fault for part in pool.map(faults, [folder] * workers, parts) for fault in part
            ]
        print(f"{stop:,} of {MUTANTS:,} mutants", *found[-1:], flush=True)
    assert not found, f"{len(found)} of {MUTANTS}:\n" + "\n".join(found[:5])

"""Reading OGIP files, folding and fitting, beside Sherpa where installed."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hf_specclip.spectra import read_spectrum
from hf_specclip.spectra.emission import phabs, power_law
from hf_specclip.spectra.fitting.fit import fit_spectra

from .peers import installed
from .side_by_side import Comparison, compare

# The writer of OGIP files that the tests use, and the fits that they compare with Sherpa's.
TESTS = Path(__file__).resolve().parents[1] / "tests" / "spectra"


def reading(small: bool = False) -> Iterator[Comparison]:
    """Compare reading of spectrum, background, ARF and RMF (1,024 channels, matrix unpacked)."""
    ours, theirs = (4, 2) if small else (200, 8)
    sherpa = _sherpa()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_sets(Path(folder), ours)

        def read() -> None:
            for path in paths:
                spectrum = read_spectrum(path)
                assert spectrum.rmf is not None
                assert len(spectrum.rmf.elements.value)

        def read_sherpa() -> None:
            for path in paths[:theirs]:
                sherpa.read_pha(str(path))

        rivals: dict[str, Callable[[], object] | None] = {
            "read_spectrum": read,
            "Sherpa read_pha": None if sherpa is None else read_sherpa,
        }
        yield compare("reading PHA sets", (ours, "sets"), rivals, 3, {"Sherpa read_pha": theirs})


def folding(small: bool = False) -> Iterator[Comparison]:
    """Compare folding many models through one response."""
    n, few = (64, 4) if small else (10_000, 100)
    sherpa = _sherpa()
    with tempfile.TemporaryDirectory() as folder:
        [path] = write_sets(Path(folder), 1)
        spectrum = read_spectrum(path)
        theirs = None if sherpa is None else sherpa.read_pha(str(path))
        rmf, arf = spectrum.rmf, spectrum.arf
        assert rmf is not None
        assert arf is not None
        rmf.elements  # noqa: B018, read while the file is there
    rng = np.random.default_rng(0)
    photons = rng.uniform(0, 1e-5, (n, rmf.n_energies)).astype(np.float32)
    dense = (rmf.dense() * arf.on(rmf.energy_edges)[:, None]).astype(np.float32)
    out = np.empty((n, rmf.n_channels), dtype=np.float32)

    def fold_sherpa() -> None:
        response, area = theirs.get_rmf(), theirs.get_arf()
        for row in photons[:few]:
            response.apply_rmf(area.apply_arf(row.astype(np.float64)))

    name = "Sherpa, one by one"
    yield compare(
        "folding, 1,070 energies to 1,024 channels",
        (n, "spectra"),
        {
            "RedistributionMatrix.fold": lambda: rmf.fold(photons, arf, out),
            "the matrix product alone": lambda: np.matmul(photons, dense, out=out),
            name: None if theirs is None else fold_sherpa,
        },
        5,
        {name: few},
    )


def fitting(small: bool = False) -> Iterator[Comparison]:
    """Compare fits of an absorbed power law with its 68 % limits, at once and one by one."""
    n = 4 if small else 1_000
    sherpa = _sherpa()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_sets(Path(folder), 1)
        spectrum = read_spectrum(paths[0])
        rng = np.random.default_rng(0)
        spectra = [
            spectrum.replace(counts=rng.poisson(np.maximum(spectrum.counts, 0.2))) for _ in range(n)
        ]
        if sherpa is not None:
            sys.path.append(str(TESTS))
            import make_sherpa_fits

        rivals: dict[str, Callable[[], object] | None] = {
            "fit_spectra": lambda: fit_spectra(spectra, ["powlaw"], min_net_counts=0),
            "Sherpa levmar and conf": None
            if sherpa is None
            else lambda: make_sherpa_fits.fit(paths[0], 16, "chi2datavar", "powlaw"),
        }
        yield compare(
            "fitting power laws", (n, "spectra"), rivals, 1, {"Sherpa levmar and conf": 1}
        )


def write_sets(folder: Path, n: int) -> list[Path]:
    """Write PHA files, each with background, ARF and RMF of its own, as large as those of ACIS."""
    sys.path.append(str(TESTS))
    import ogip_writer

    energies = np.linspace(0.3, 11.0, 1071)
    channels = np.linspace(0.0, 14.95, 1025)
    centres = (energies[:-1] + energies[1:]) / 2
    groups: list[Any] = []
    for energy in centres:
        width = 0.05 + 0.01 * energy
        low = max(0, int((energy - 6 * width) / 0.0146))
        high = min(1024, int((energy + 5 * width) / 0.0146) + 1)
        at = (channels[low:high] + channels[low + 1 : high + 1]) / 2
        shape = np.exp(-0.5 * ((at - energy) / width) ** 2)
        groups.append([(low + 1, (shape / shape.sum()).tolist())])
    area = 500 * np.exp(-((np.log(centres / 1.6)) ** 2))
    photons = 3e-4 * power_law(energies, 1.7) * phabs(energies, 0.05)
    dense = ogip_writer.matrix(groups, 1024)
    rng = np.random.default_rng(0)
    response = [
        ogip_writer.matrix_hdu(groups, edges=energies),
        ogip_writer.ebounds_hdu(channels),
    ]
    for hdu in response:
        hdu.header["DETCHANS"] = 1024
    paths = []
    for number in range(n):
        stem = f"s{number:04d}"
        ogip_writer.write(folder / f"{stem}.arf", ogip_writer.arf_hdu(area, energies))
        ogip_writer.write(folder / f"{stem}.rmf", *response)
        counts = rng.poisson(3e4 * ((photons * area) @ dense))
        background = ogip_writer.spectrum_hdu(
            rng.poisson(0.05, 1024), header={"BACKSCAL": 20.0, "EXPOSURE": 3e4}
        )
        ogip_writer.write(folder / f"{stem}_bg.pha", background)
        names = {
            "BACKFILE": f"{stem}_bg.pha",
            "RESPFILE": f"{stem}.rmf",
            "ANCRFILE": f"{stem}.arf",
            "EXPOSURE": 3e4,
        }
        paths.append(
            ogip_writer.write(
                folder / f"{stem}.pha", ogip_writer.spectrum_hdu(counts, header=names)
            )
        )
    return paths


def _sherpa() -> Any:
    """Return Sherpa's reader, quiet; None where Sherpa is not installed."""
    os.environ.setdefault("SHERPARC", os.devnull)
    warnings.filterwarnings("ignore", module="sherpa")
    reader = installed("sherpa.astro.io")
    logging.getLogger("sherpa").setLevel(logging.ERROR)  # its import sets another
    return reader

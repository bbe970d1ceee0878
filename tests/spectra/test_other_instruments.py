"""`specclip inspect` and `specclip fit` on files as other instruments have them.

A power law of photon index 1.9 without absorption is folded here, by a matrix of the test's own;
each file then carries it in the form of its instrument.
"""

import json
from math import erf

import numpy as np
import pytest
from ogip_writer import arf_hdu, ebounds_hdu, matrix_hdu, spectrum_hdu, write

from hf_specclip.cli.main import main

INDEX, NORM, EXPOSURE = 1.9, 1e-2, 2e5
ERG = 1.602176634e-9  # of a keV


def integral(edges, power):
    """Integrals of E^power between edges."""
    return np.diff(edges ** (power + 1)) / (power + 1)


class Detector:
    """Gaussian detector: an area, and a matrix from energies to channels of equal width."""

    def __init__(self, low, high, n_channels=160, resolution=0.06):
        self.energies = np.geomspace(0.9 * low, 1.1 * high, 201)
        self.channels = np.linspace(0.9 * low, 1.1 * high, n_channels + 1)
        middle = (self.energies[1:] + self.energies[:-1]) / 2
        width = resolution * np.sqrt(middle * high) / 3
        below = np.vectorize(erf)((self.channels - middle[:, None]) / (width[:, None] * 2**0.5))
        matrix = np.diff(below, axis=1) / 2
        self.matrix = np.where(matrix > 1e-6, matrix, 0.0)
        self.area = np.full(len(middle), 500.0)

    @property
    def counts(self):
        photons = NORM * integral(self.energies, -INDEX) * self.area * EXPOSURE
        return np.rint(photons @ self.matrix).astype(int)

    @property
    def groups(self):
        """Elements as the file has them: a group a row, from its first channel on."""
        rows = []
        for row in self.matrix:
            (filled,) = np.nonzero(row)
            rows.append([(filled[0] + 1, row[filled[0] : filled[-1] + 1].tolist())])
        return rows

    def write(
        self, folder, rmf=None, columns=None, first=1, counts=None, background=None, **header
    ):
        """Write spectrum, ARF and RMF (by default `rmf_hdus`), and a background where given."""
        write(folder / "a.rmf", *(rmf or self.rmf_hdus(first)))
        write(folder / "a.arf", arf_hdu(self.area, self.energies))
        names = {"RESPFILE": "a.rmf", "ANCRFILE": "a.arf", "EXPOSURE": EXPOSURE, **header}
        if background is not None:
            about = {"BACKSCAL": 8.0, "EXPOSURE": EXPOSURE, "POISSERR": False}
            write(folder / "b.pha", spectrum_hdu(background, first=first, header=about))
            names["BACKFILE"] = "b.pha"
        counts = self.counts if counts is None else counts
        hdu = spectrum_hdu(counts, columns=columns, first=first, header=names)
        return write(folder / "a.pha", hdu)

    def rmf_hdus(self, first=1, **options):
        matrix = matrix_hdu(self.groups, edges=self.energies, first=first, tlmin=first, **options)
        return [matrix, ebounds_hdu(self.channels, first=first)]


def nustar(folder):
    """Numbers written as text."""
    detector = Detector(3.0, 79.0)
    matrix, ebounds = detector.rmf_hdus(first=0)
    matrix.header["TLMIN4"] = "0"
    header = {"TELESCOP": "NuSTAR", "INSTRUME": "FPMA"}
    return detector.write(folder, [ebounds, matrix], first=0, **header)


def xmm(folder):
    """Matrix elements slightly below zero, bad channels in one column."""
    detector = Detector(0.3, 10.0)
    detector.matrix[:, 100] -= 1e-6
    flags = np.zeros(160, np.int16)
    flags[150:] = 1
    counts = np.where(flags == 1, 10**6, detector.counts)
    header = {"TELESCOP": "XMM", "INSTRUME": "EPN"}
    return detector.write(folder, columns={"QUALITY": flags}, counts=counts, first=0, **header)


def swift(folder):
    """Channels of EBOUNDS that nobody filled beside a good TLMIN."""
    detector = Detector(0.3, 10.0)
    matrix, _ = detector.rmf_hdus(first=0)
    ebounds = ebounds_hdu(detector.channels, channel=np.zeros(160, np.int16), first=0)
    header = {"TELESCOP": "SWIFT", "INSTRUME": "XRT"}
    return detector.write(folder, [ebounds, matrix], first=0, **header)


def rosat(folder):
    """Energy bins of zero width."""
    detector = Detector(0.1, 2.4, resolution=0.2)
    detector.energies[[1, 2]] = detector.energies[0]
    return detector.write(folder, TELESCOP="ROSAT", INSTRUME="PSPCB")


def hxmt(folder):
    """A model of the background in fractions of counts."""
    detector = Detector(1.0, 10.0)
    model = np.full(160, 80.4)
    header = {"TELESCOP": "HXMT", "INSTRUME": "LE"}
    counts = detector.counts + 20
    return detector.write(folder, counts=counts, background=model, **header)


def xrism(folder):
    """A matrix in two extensions, whose parts add up."""
    detector = Detector(0.4, 12.0)
    (core, ebounds), (rest, _) = (
        detector.rmf_hdus(scale=np.full(200, share)) for share in (0.7, 0.3)
    )
    core.header["EXTVER"], rest.header["EXTVER"] = 1, 2
    return detector.write(folder, [core, rest, ebounds], TELESCOP="XRISM", INSTRUME="RESOLVE")


def rgs(folder):
    """Channels that count up in wavelength, energies that descend."""
    detector = Detector(0.35, 2.5, resolution=0.01)
    counts = detector.counts[::-1]
    detector.matrix = detector.matrix[:, ::-1]
    pairs = np.stack([detector.channels[:-1], detector.channels[1:]], axis=1)[::-1]
    matrix, _ = detector.rmf_hdus()
    header = {"TELESCOP": "XMM", "INSTRUME": "RGS1"}
    return detector.write(folder, [matrix, ebounds_hdu(pairs)], counts=counts, **header)


@pytest.mark.parametrize(
    ("instrument", "name", "band"),
    [
        (nustar, "NuSTAR FPMA", (3.0, 79.0)),
        (xmm, "XMM EPN", (0.3, 10.0)),
        (swift, "SWIFT XRT", (0.3, 10.0)),
        (rosat, "ROSAT PSPCB", (0.1, 2.4)),
        (hxmt, "HXMT LE", (0.9, 7.0)),
        (xrism, "XRISM RESOLVE", (0.4, 12.0)),
        (rgs, "XMM RGS1", (0.35, 2.5)),
    ],
)
def test_inspect_and_fit_read_what_was_written(instrument, name, band, tmp_path, capsys):
    path = str(instrument(tmp_path))
    assert main(["inspect", path]) == 0
    assert name in capsys.readouterr().out
    assert main(["fit", "--json", "--nh", "0", "--model", "powlaw", "--band", "1", "2", path]) == 0
    [found] = json.loads(capsys.readouterr().out)
    width = 0.02 * band[1]
    assert found["energy_range_kev"] == pytest.approx(band, abs=width)
    assert found["powlaw_gamma"] == pytest.approx(INDEX, abs=0.01)
    flux = NORM * ERG * integral(np.array([1.0, 2.0]), 1 - INDEX)[0]
    assert found["powlaw_flux_1_2kev"] == pytest.approx(flux, rel=0.01)

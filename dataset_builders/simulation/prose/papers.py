"""Invented papers: titles and bibcodes of a journal that does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .facts import Paper
from .grammar import with_article

JOURNAL = "SimAp"
# Class names in titles.
_LABELS = {
    "qso": "quasar",
    "seyfert1": "Seyfert 1 galaxy",
    "seyfert2": "Seyfert 2 galaxy",
    "lmxb": "low-mass X-ray binary",
    "hmxb": "high-mass X-ray binary",
    "ulx": "ultraluminous X-ray source",
    "cv": "cataclysmic variable",
    "star": "coronally active star",
    "yso": "young stellar object",
    "snr": "supernova remnant",
    "cluster": "galaxy cluster",
    "pulsar": "rotation-powered pulsar",
    "lensed_qso": "lensed quasar",
    "tde": "tidal disruption event",
    "ulx_pulsar": "pulsating ultraluminous X-ray source",
    "cv_magnetic": "magnetic cataclysmic variable",
    "ob_star": "massive OB star",
    "hot_gas": "halo of hot gas",
    "msp": "millisecond pulsar",
    "magnetar": "magnetar",
}


@dataclass(frozen=True)
class Subject:
    """Subject of a paper.

    Attributes:
        kind: `source`, `field`, `sample` or `survey`.
        number: of the paper, unique.
        name: name of the field, for papers on one.
    """

    kind: str
    number: int
    name: str


def write_paper(subject: Subject, class_name: str, source: str, host: str, random: Random) -> Paper:
    """Invent a paper.

    Args:
        subject: what it is about.
        class_name: key of `source_classes.CLASSES` of its (first) source.
        source: name of that source.
        host: name of its field or host.
        random: generator.
    """
    year = random.randrange(2001, 2025)
    label = _LABELS[class_name]
    options = {
        "source": (
            "An X-ray view of the {label} {short}",
            "{short}: {a_label} revisited",
            "The nature of {short}, {a_label}",
            "Multi-wavelength observations of the {label} {short}",
        ),
        "field": (
            "A Chandra study of {host}",
            "X-ray point sources in {host}",
            "The X-ray population of {host}: catalogue and classification",
            "{host} in X-rays",
        ),
        "sample": (
            "A small sample of {label} systems seen with Chandra",
            "Spectral properties of selected {label} systems",
            "Comparing {label} spectra across environments",
        ),
        "survey": (
            "A serendipitous survey of X-ray sources. Paper {roman}",
            "A wide-area catalogue of Chandra counterparts, release {number}",
            "Machine classification of X-ray sources, data set {number}",
        ),
    }[subject.kind]
    title = options[random.randrange(len(options))].format(
        label=label,
        a_label=with_article(label),
        short=source.removeprefix("2CXO "),
        host=host,
        roman=("I", "II", "III", "IV", "V")[subject.number % 5],
        number=subject.number % 90 + 1,
    )
    volume, page = 1 + subject.number // 9000, 1 + subject.number % 9000
    initial = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[random.randrange(26)]
    bibcode = f"{year}{JOURNAL}{volume:.>4d}.{page:.>4d}{initial}"
    return Paper(bibcode, title[0].upper() + title[1:], year)


__all__ = ["JOURNAL", "Subject", "write_paper"]

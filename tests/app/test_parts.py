"""Parts of the page without a browser: uploads, escaping, and models without some parts."""

import re

import numpy as np
import pytest
from chandra_pha import write_arf, write_pha
from ogip_writer import arf_hdu, ebounds_hdu, matrix_hdu, spectrum_hdu, write, write_set

from hf_specclip.app import upload
from hf_specclip.app.html import render
from hf_specclip.app.upload import MAX_FILES, UploadError, read_upload
from hf_specclip.classify.families import group_by_family
from hf_specclip.describe.answers import SourceHit
from hf_specclip.describe.description import Description, LiteratureHit, Paper, SimilarSource
from hf_specclip.literature import EmbeddingError

EVIL = '<img src=x onerror="alert(1)">'


def test_side_files_are_found_by_their_header_and_by_what_they_are(tmp_path):
    named = write_set(tmp_path)
    spectrum = read_upload(sorted(tmp_path.iterdir()))
    assert spectrum.arf is not None
    assert spectrum.rmf is not None
    assert spectrum.rmf.dense().shape[1] == spectrum.counts.size  # the file itself is gone
    assert named.is_file()
    other = tmp_path / "unnamed"
    other.mkdir()
    write(other / "a.pha", spectrum_hdu(header={"RESPFILE": "none", "ANCRFILE": "none"}))
    write(other / "b.fits", arf_hdu())
    write(other / "c.fits", matrix_hdu(), ebounds_hdu())
    spectrum = read_upload(sorted(other.iterdir()))
    assert spectrum.arf is not None
    assert spectrum.rmf is not None


def test_bounds(tmp_path, monkeypatch):
    path = write_pha(tmp_path / "source.pi", np.ones(1024, int))
    with pytest.raises(UploadError, match=r"source.pi has .* MB; the limit is"):
        read_upload([path], max_bytes=100)
    with pytest.raises(UploadError, match="Too many"):
        read_upload([path] * (MAX_FILES + 1))
    with pytest.raises(UploadError, match=r"Two files are called source.pi"):
        read_upload([path, path])
    with pytest.raises(UploadError, match="No file received"):
        read_upload([])
    with pytest.raises(UploadError, match=r"longer than 0.05 seconds"):
        read_upload([path], max_seconds=0.05)
    monkeypatch.setattr(upload, "MAX_MEMORY", 100 << 20)
    with pytest.raises(UploadError, match="more memory"):
        read_upload([path])


def test_a_file_that_is_no_spectrum_is_named_without_its_folder(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no spectrum")
    with pytest.raises(UploadError, match=r"^notes.txt: is not a FITS file"):
        read_upload([path])


def test_the_source_is_told_from_its_background(tmp_path):
    write_pha(tmp_path / "src.pi", np.full(1024, 3))
    write(tmp_path / "src_bkg.pi", spectrum_hdu(np.ones(1024, int), background=True))
    assert read_upload(sorted(tmp_path.iterdir())).counts[0] == 3


def test_nothing_from_a_file_or_an_index_becomes_markup():
    paper = Paper(EVIL, "bibcode", EVIL, 2020, 'https://x.org/"><script>')
    bad = Paper("1", "other", "title", None, "javascript:alert(1)")
    hit = LiteratureHit(1, 0.5, EVIL, (EVIL,), (paper, bad), {EVIL: EVIL})
    source = SimilarSource(1, 0.5, '"><script>', EVIL, EVIL, 1, 10, 1.0, None, None, None)
    answer = SourceHit(1, 0.5, EVIL, EVIL, None, None, True, {EVIL: 1.0}, (source,))
    found = Description(
        file=EVIL, source={"source_name": EVIL, "net_counts_0.5_8kev": 1.0, "exposure_s": 1.0,
                           "net_counts_error_0.5_8kev": 1.0, "telescope": EVIL, "arf": EVIL},
        model="m", literature=(), similar=(), classes={}, variables=(), outlier=None,
        map_position=None, notes=(EVIL,), gallery={}, spectrum=None,
    )  # fmt: skip
    for text in (
        render("literature", [hit], 1),
        render("results", [answer]),
        render("understood", [EVIL], True),
        render("similar", [source], True),
        render("classes", group_by_family({EVIL: 1.0})),
        render("facts", found, EVIL),
        render("message", EVIL),
    ):
        assert "<img" not in text
        assert "<script" not in text
        assert "javascript:" not in text


def test_a_model_without_experts_or_spectra_says_so(tiny_run, uploads, tmp_path):
    import shutil

    from hf_specclip.app.events import PageEvents
    from hf_specclip.describe.describer import Describer

    shutil.copytree(tiny_run / "model", tmp_path / "model")
    for part in ("zero_shot", "gallery"):
        shutil.rmtree(tmp_path / "model" / part, ignore_errors=True)
    events = PageEvents(Describer.from_pretrained(tmp_path / "model"), 1 << 20, 60.0)
    path = write_pha(tmp_path / "source.pi", np.ones(1024, int))
    parts = events.upload([str(path)])
    text = " ".join(part for part in parts if isinstance(part, str))
    for part in ("classes", "texts", "mixture of experts", "outlier detector", "gallery"):
        assert f"This model has no {part}" in text
    assert events.examples() == []
    assert not path.exists()  # what was dropped is gone

    def unreachable(*_, **__):
        raise EmbeddingError("no answer from the server")

    events.describer.search = unreachable
    assert "No answer from the server." in events.search("a quasar", "spectra")[0]


def test_the_own_fit_stands_beside_what_is_inferred(uploads, tmp_path):
    from hf_specclip.app.events import RESULTS, PageEvents
    from hf_specclip.describe.describer import Describer
    from hf_specclip.describe.measured import fit_values

    counts = np.random.default_rng(0).poisson(5 * np.exp(-np.arange(1024) / 200))
    edges = 0.0146 * np.arange(1025)
    groups = [[(channel, [1.0])] for channel in range(21, 621)]
    files = [
        write_pha(tmp_path / "source.pi", counts),
        write_arf(tmp_path / "source.arf"),
        write(tmp_path / "a.rmf", matrix_hdu(groups, edges=edges[20:621]), ebounds_hdu(edges)),
    ]
    events = PageEvents(Describer.from_pretrained(parts=("moe",)), 8 << 20, 60.0)
    parts = dict(zip(RESULTS, events.upload(list(map(str, files))), strict=True))
    fitted = fit_values(parts["description"].fit)["powlaw_gamma"]
    [row] = [row for row in parts["variables"].split("<tr>") if "<th>powlaw_gamma " in row]
    assert f"<td>{fitted}</td>" in row


def test_a_model_of_another_axis_is_refused(tiny_run, uploads):
    from hf_specclip.app.page import build_app
    from hf_specclip.describe.describer import Describer

    describer = Describer.from_pretrained(tiny_run)
    describer.model.config.spectrum_config.axis = ("wavelength", "nm")
    with pytest.raises(ValueError, match="counts along wavelength in nm"):
        build_app(describer)


def test_the_command_says_what_it_lacks(capsys, tmp_path):
    from hf_specclip.cli.main import main

    assert main(["app", "--model", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["app", "--port", "70000"])
    assert "70000 is not a port" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_serves_the_page_and_leaves_nothing(tiny_run, tmp_path):
    import os
    import signal
    import socket
    import subprocess
    import sys
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "hf_specclip.cli.main", "app", "--model", str(tiny_run), "--port", str(port)]
    served = subprocess.Popen(
        [sys.executable, *words],
        env={**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"http://127.0.0.1:{port}" in served.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert "SpecCLIP" in answer.read().decode()
        assert list(tmp_path.glob("specclip-app-*"))
        served.send_signal(signal.SIGINT)
        assert served.wait(timeout=60) == 0
    finally:
        served.kill()
    assert not list(tmp_path.glob("specclip-app-*"))


@pytest.mark.parametrize(
    ("papers", "spectra", "text"),
    [(0, 7073, "m, with 7,073 spectra."), (3, 0, "m, with 3 texts."), (0, 0, "m."),
     (3, 4, "m, with 3 texts and 4 spectra.")],
)  # fmt: skip
def test_the_header_names_what_the_index_holds(papers, spectra, text):
    header = re.sub(r"<[^>]+>", "", render("header", "m", papers, spectra, False))
    assert f"Model {text}" in " ".join(header.split())

"""The page in a browser: uploads, clicks, searches and exports of a visitor."""

import json
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from chandra_pha import write_pha
from ogip_writer import arf_hdu, write

SHAPE = np.exp(-np.arange(1024) / 200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A spectrum, and files that are none."""
    folder = tmp_path_factory.mktemp("dropped")
    draw = np.random.default_rng(0).poisson
    good = write_pha(folder / "source.pi", draw(5 * SHAPE))
    write_pha(folder / "other.pi", draw(5 * SHAPE))
    (folder / "notes.txt").write_text("no spectrum <script>alert(1)</script>\n")
    (folder / "empty.pi").write_bytes(b"")
    (folder / "cut.pi").write_bytes(good.read_bytes()[:9000])
    (folder / "broken.pi.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(50))
    write(folder / "area.arf", arf_hdu())
    fits.PrimaryHDU(np.zeros((9, 9))).writeto(folder / "image.fits")
    (folder / "large.pi").write_bytes(bytes(4 << 20))
    return folder


def drop(page, *files):
    page.set_input_files("#sc-files input[type=file]", [str(file) for file in files])


def described(page):
    page.wait_for_selector("#sc-map .js-plotly-plot .point")
    page.wait_for_selector("#sc-spectrum .js-plotly-plot .point")


def width_of(page):
    return page.evaluate("document.documentElement.scrollWidth")


def test_a_spectrum_is_described_and_exported(visit, folder, uploads, tmp_path):
    page = visit(1280)
    drop(page, folder / "source.pi")
    described(page)
    text = page.inner_text("#sc-results")
    assert "Test source" in text
    assert re.search(r"[\d,.]+ ± [\d.]+\s+net counts", text)
    assert "trained on simulated data" in text
    assert page.locator(".sc-bar").count() >= 3
    shares = [
        float(s.rstrip("%")) for s in page.locator(".sc-bar:not(.sc-kind) em").all_inner_texts()
    ]
    assert shares == sorted(shares, reverse=True)
    rows = page.locator(".sc-card", has_text="Inferred catalogue variables").locator("tbody tr")
    assert rows.count() >= 4
    assert page.locator(".sc-card", has_text="Outlier score").locator(".sc-scale i").count() == 1
    assert page.locator("#sc-map .point").count() > 200
    assert page.locator(".sc-papers li").count() >= 5
    # Nothing stays of what was dropped.
    assert [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size] == []

    page.locator("#sc-map").scroll_into_view_if_needed()
    box = page.locator("#sc-map .nsewdrag").bounding_box()
    ends = "document.querySelector('#sc-map .js-plotly-plot').layout.xaxis.range"
    before = page.evaluate(ends)
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_function(
        f"before => {ends}[1] - {ends}[0] < 0.5 * before", arg=before[1] - before[0]
    )

    files = {}
    for kind in ("JSON", "ECSV", "HTML"):
        with page.expect_download() as download:
            page.locator(".sc-export a", has_text=kind).click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    assert {path.name for path in files.values()} == {
        f"source.{k}" for k in ("json", "ecsv", "html")
    }
    content = json.loads(files["JSON"].read_text())
    assert content["file"] == "source.pi"
    assert len(content["variables"]) == rows.count()
    table = Table.read(files["ECSV"], format="ascii.ecsv")
    assert table["net_counts"][0] == pytest.approx(content["source"]["net_counts_0.5_8kev"])
    assert "nearest of" in files["HTML"].read_text()


def test_a_phone_needs_no_sideways_scroll(visit, folder):
    page = visit(390, 844)
    assert width_of(page) <= 390
    drop(page, folder / "source.pi")
    described(page)
    assert width_of(page) <= 390
    box = page.locator("#sc-map").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.get_by_role("tab", name="Text search").click()
    page.wait_for_selector("#sc-ask")
    assert width_of(page) <= 390


def test_bad_files_get_a_sentence(visit, folder):
    page = visit(1280)
    drop(page, folder / "source.pi")
    described(page)
    cases = [
        (["notes.txt"], "notes.txt: is not a FITS file"),
        (["empty.pi"], "empty.pi: is not a FITS file"),
        (["cut.pi"], "cut.pi"),
        (["broken.pi.gz"], "broken.pi.gz"),
        (["area.arf"], "No spectrum among the files, only area.arf (arf)"),
        (["image.fits"], "image.fits: holds no SPECTRUM extension"),
        (["source.pi", "other.pi"], "all contain a spectrum: upload one source at a time"),
    ]
    for names, expected in cases:
        drop(page, *(folder / name for name in names))
        page.wait_for_function(
            "words => document.querySelector('#sc-message')?.innerText.includes(words)",
            arg=expected,
        )
        said = page.inner_text("#sc-message")
        assert said.count("\n") == 0
        assert "Traceback" not in said
        assert "/" not in said.replace("/keV", "")
        assert not page.locator("#sc-results").is_visible()
    # And then a good one works as ever.
    drop(page, folder / "source.pi")
    described(page)
    assert page.locator("#sc-message .sc-message").count() == 0


def test_a_file_over_the_bound_is_refused_before_it_is_read(visit, folder, uploads):
    page = visit(1280)
    drop(page, folder / "large.pi")
    page.wait_for_selector("text=/exceeds|maximum|large/i")
    assert not page.locator("#sc-results").is_visible()
    assert [path for path in uploads.rglob("large*") if path.stat().st_size > 3 << 20] == []


def test_words_find_spectra_and_papers(visit):
    page = visit(1280)
    page.get_by_role("tab", name="Text search").click()
    page.fill("#sc-question textarea, #sc-question input", "heavily absorbed pulsating ULX")
    page.click("#sc-ask")
    page.wait_for_selector(".sc-answer")
    cards = page.locator(".sc-answer")
    assert cards.count() == 12
    page.locator("#sc-kind label", has_text="papers").click()
    page.wait_for_selector("#sc-listed .sc-papers")
    page.locator("#sc-kind label", has_text="spectra").click()
    page.wait_for_selector(".sc-answer")
    name = cards.first.locator("h3").inner_text()
    cards.first.locator("[data-open]").click()
    described(page)
    assert name in page.inner_text("#sc-results")
    page.get_by_role("tab", name="Text search").click()
    page.fill("#sc-question textarea, #sc-question input", "   ")
    page.click("#sc-ask")
    page.wait_for_selector("text=Enter a query")
    page.fill("#sc-question textarea, #sc-question input", "marmalade")
    page.click("#sc-ask")
    page.wait_for_selector("text=not understood: marmalade")
    assert page.locator(".sc-answer").count() == 0


def test_sources_of_the_catalogue_are_described(visit):
    page = visit(1280)
    page.click("#sc-examples input")
    page.wait_for_selector("#sc-examples [role=option]")
    name = page.locator("#sc-examples [role=option]").first.inner_text().split(": ")[-1].strip()
    page.locator("#sc-examples [role=option]").first.click()
    described(page)
    assert name in page.inner_text("#sc-results")
    # A click on the map opens another.
    point = page.locator("#sc-map .point").nth(20)
    point.scroll_into_view_if_needed()
    point.click(force=True)
    page.wait_for_function(
        "name => !document.querySelector('#sc-results').innerText.includes(name)", arg=name
    )

"""A served page and a browser, one of each for all tests of a worker."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def uploads(tmp_path_factory):
    """The folder that Gradio puts uploads in; it is asked for before Gradio is imported."""
    folder = tmp_path_factory.mktemp("uploads")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def served(tiny_run, uploads):
    """Address of the page of a tiny run."""
    from hf_specclip.app.page import build_app

    page = build_app(tiny_run, max_bytes=3 << 20)
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True)
    yield address
    page.close()


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium without a window."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium here: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        # No proxy, no sandbox: the page is ours, and root cannot have the latter.
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser, served):
    """Opens the page at a width; afterwards nothing may have gone elsewhere or gone wrong."""
    opened, asked, errors = [], [], []

    def open_at(width: int, height: int = 900):
        context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True
        )
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served)
        page.wait_for_selector("#sc-files input[type=file]", state="attached")
        return page

    yield open_at
    for context in opened:
        context.close()
    elsewhere = [url for url in asked if not url.startswith((served, "data:", "blob:"))]
    assert not elsewhere
    assert not errors

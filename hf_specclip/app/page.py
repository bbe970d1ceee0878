"""Web app for a trained model: upload a spectrum and see its description; search by text.

page = build_app("runs/demo")
page.launch()

The app shows the results of `Describer`. It needs no network, and stores no uploads: a file is
read, deleted, and kept in memory for the session only.
"""

from __future__ import annotations

import os
from importlib import resources
from typing import Any

# Before Gradio is imported, which otherwise reports usage to its makers.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:
    import gradio as gr
except ImportError as error:
    raise ImportError('the web app needs Gradio: pip install "hf-specclip[app]"') from error

from ..describe.describer import Describer
from .events import MAX_QUESTION, RESULTS, PageEvents
from .html import render
from .upload import MAX_FILE_BYTES, MAX_SECONDS

TITLE = "SpecCLIP"
# Temporary files are looked for every 300 s, and removed at an age of 900 s.
_CACHE_SECONDS = (300, 900)
_SESSION_SECONDS = 3600
_QUESTIONS = ("heavily absorbed pulsating ULX", "soft thermal emission, kT < 0.5 keV",
              "quasar with a photon index below 1.7")  # fmt: skip


class Page(gr.Blocks):
    """Gradio Blocks that launch with the style and the upload limit of the page."""

    max_bytes: int = MAX_FILE_BYTES

    def launch(self, *args: Any, **options: Any) -> Any:
        """Launch as `gradio.Blocks.launch` does, whose options override those of the page."""
        defaults: dict[str, Any] = {
            "theme": gr.themes.Base(
                primary_hue="blue",
                font=("system-ui", "sans-serif"),  # none that would be fetched
                font_mono=("ui-monospace", "monospace"),
            ),
            "css": _read("hf_specclip.describe", "templates", "sections.css")
            + _read("hf_specclip.app", "assets", "page.css"),
            "max_file_size": self.max_bytes,
            "footer_links": [],
            "ssr_mode": False,
            "quiet": True,
        }
        return super().launch(*args, **(defaults | options))


def build_app(
    model: str | os.PathLike[str] | Describer,
    *,
    max_bytes: int = MAX_FILE_BYTES,
    max_seconds: float = MAX_SECONDS,
    **hub: Any,
) -> Page:
    """Build the page around a model.

    Args:
        model: a run, a model folder, `user/name` on the Hub, or a `Describer`.
        max_bytes: largest file that is read.
        max_seconds: longest time that reading may take.
        hub: for a model on the Hub: `revision`, `token`, …

    Returns:
        Gradio Blocks; `.launch()` starts them.

    Raises:
        ValueError, OSError: where the model cannot be loaded.
    """
    describer = model if isinstance(model, Describer) else Describer.from_pretrained(model, **hub)
    axis, unit = describer.model.config.spectrum_config.axis
    if unit != "keV":
        raise ValueError(
            f"{describer.name} reads counts along {axis} in {unit}, but the web app only shows "
            "X-ray spectra: use it from Python"
        )
    page = Page(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=_CACHE_SECONDS)
    page.max_bytes = max_bytes
    with page:
        _lay_out(page, PageEvents(describer, max_bytes, max_seconds))
    return page.queue(max_size=32, default_concurrency_limit=2)


def _lay_out(page: Page, events: PageEvents) -> None:
    index = events.describer.index
    papers, spectra = (0, 0) if index is None else (len(index.papers), len(index.spectra))
    simulated = index is not None and bool(index.about.get("simulated"))
    components: dict[str, Any] = {}
    gr.HTML(render("header", events.describer.name, papers, spectra, simulated), padding=False)
    kinds = [name for name, n in (("spectra", spectra), ("papers", papers)) if n]
    with gr.Tabs() as tabs:
        with gr.Tab("Spectrum", id="spectrum"):
            example = _lay_out_spectrum(events, components)
        with gr.Tab("Text search", id="search", visible=bool(kinds)):
            _lay_out_search(events, kinds or ["spectra"])
    # A click on a point or a button sets this; see page.js.
    components["open"] = gr.Textbox(visible="hidden", elem_id="sc-open")
    components["description"] = gr.State(None, time_to_live=_SESSION_SECONDS)

    results = [components[name] for name in RESULTS]
    private: dict[str, Any] = {"api_visibility": "private"}
    components["files"].upload(events.upload, components["files"], results, **private)
    example.input(events.open, example, results, **private)
    components["open"].change(events.open, components["open"], results, **private).then(
        lambda: gr.Tabs(selected="spectrum"), None, tabs, **private
    )
    page.load(None, None, None, js=_read("hf_specclip.app", "assets", "page.js"), **private)


def _lay_out_spectrum(events: PageEvents, components: dict[str, Any]) -> gr.Dropdown:
    """Lay out the tab of one spectrum; return the choice of catalogue sources."""
    with gr.Row(equal_height=True):
        components["files"] = gr.File(
            label="PHA file (and ARF, RMF, background)",
            file_count="multiple",
            height=160,
            elem_id="sc-files",
            min_width=280,
            scale=3,
        )
        example = gr.Dropdown(
            events.examples(),
            value=None,
            label="or a catalogue source",
            elem_id="sc-examples",
            visible=events.can_open,
            min_width=280,
            scale=2,
        )
    components["message"] = gr.HTML(padding=False, elem_id="sc-message")
    with gr.Column(visible=False, elem_id="sc-results") as components["results"]:
        components["facts"] = gr.HTML(padding=False)
        components["exports"] = gr.HTML(padding=False)
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                components["spectrum"] = _plot("sc-spectrum", "spectrum")
                with gr.Column(visible=events.map_points is not None, elem_classes="sc-plot"):
                    gr.HTML(render("map_title", events.can_open), padding=False)
                    components["map"] = _plot("sc-map", "map of the catalogue")
                components["literature"] = gr.HTML(padding=False)
            with gr.Column(scale=4, min_width=320):
                for name in ("variables", "classes", "outlier", "similar"):
                    components[name] = gr.HTML(padding=False)
    return example


def _lay_out_search(events: PageEvents, kinds: list[str]) -> None:
    with gr.Row(equal_height=True):
        question = gr.Textbox(
            label="Search for",
            placeholder=_QUESTIONS[0],
            max_length=MAX_QUESTION,
            elem_id="sc-question",
            min_width=280,
            scale=4,
        )
        kind = gr.Radio(
            kinds,
            value=kinds[0],
            label="among",
            elem_id="sc-kind",
            scale=2,
        )
        button = gr.Button("Search", variant="primary", elem_id="sc-ask", scale=1)
    gr.Examples([[text] for text in _QUESTIONS], [question], label="For example")
    message = gr.HTML(padding=False)
    results = gr.HTML(padding=False, elem_id="sc-listed")
    gr.on(
        [button.click, question.submit, kind.input],
        events.search,
        [question, kind],
        [message, results],
        api_visibility="private",
    )


def _plot(name: str, label: str) -> gr.Plot:
    return gr.Plot(label=label, show_label=False, elem_id=name, elem_classes="sc-plot")


def _read(package: str, folder: str, name: str) -> str:
    return (resources.files(package) / folder / name).read_text(encoding="utf-8")

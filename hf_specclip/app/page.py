"""The page: drop a spectrum, see what a trained model says of it; ask in words, see spectra.

page = build_app("runs/demo")
page.launch()

It lays out what `Describer` answers and computes nothing itself. It works without any network, and
keeps nothing: what a visitor drops is read, removed and held in memory for the session alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

# Before Gradio is imported, which would else report to its makers.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:
    import gradio as gr
except ImportError as error:
    raise ImportError('the page needs Gradio: pip install "hf-specclip[app]"') from error

from ..describe.describer import Describer
from ..describe.description import Description
from . import html as html
from .figures import map_figure, sparkline, spectrum_figure
from .upload import MAX_FILE_BYTES, MAX_SECONDS, UploadError, read_upload

TITLE = "SpecCLIP"
EXAMPLES = 12
MAX_QUESTION = 500
# Seconds between two looks for leftovers, and their age.
_LEFTOVERS = (300, 900)
_SESSION_SECONDS = 3600
_QUESTIONS = ("heavily absorbed pulsating ULX", "soft thermal emission of a supernova remnant",
              "variable quasar with a flat spectrum")  # fmt: skip
# What `show` fills, in this order.
_PARTS = ("message", "results", "facts", "spectrum", "classes", "literature", "variables", "map",
          "outlier", "similar", "exports", "found", "files", "compare", "open")  # fmt: skip


class Page(gr.Blocks):
    """Blocks that start with the page's own look and bounds, whoever starts them."""

    max_bytes: int = MAX_FILE_BYTES

    def launch(self, *args: Any, **options: Any) -> Any:
        """See `gradio.Blocks.launch`; any option given wins."""
        assets = resources.files("hf_specclip.app") / "assets"
        own: dict[str, Any] = {
            "theme": gr.themes.Base(
                primary_hue="blue",
                font=("system-ui", "sans-serif"),  # none that would be fetched
                font_mono=("ui-monospace", "monospace"),
            ),
            "css": (assets / "page.css").read_text(encoding="utf-8"),
            "max_file_size": self.max_bytes,
            "footer_links": [],
            "ssr_mode": False,
            "quiet": True,
        }
        return super().launch(*args, **(own | options))


def build_app(
    model: str | os.PathLike[str] | Describer,
    *,
    max_bytes: int = MAX_FILE_BYTES,
    max_seconds: float = MAX_SECONDS,
    **hub: Any,
) -> Page:
    """The page around a model.

    Args:
        model: a run, a model folder, `user/name` on the Hub, or a `Describer`.
        max_bytes: the largest file that is read.
        max_seconds: how long reading one may take.
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
            f"{describer.name} reads counts along {axis} in {unit}, and the page shows X-ray "
            "spectra: ask it from Python"
        )
    answers = _Answers(describer, max_bytes, max_seconds)
    page = Page(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=_LEFTOVERS)
    page.max_bytes = max_bytes
    with page:
        _lay_out(page, answers)
    return page.queue(max_size=32, default_concurrency_limit=2)


class _Answers:
    """What each event shows; each method gives the values of some components."""

    def __init__(self, describer: Describer, max_bytes: int, max_seconds: float):
        self.describer, self.max_bytes, self.max_seconds = describer, max_bytes, max_seconds
        try:
            self.points: dict[str, Any] | None = describer.map_points()
        except ValueError:
            self.points = None

    @property
    def searchable(self) -> bool:
        """Whether there are spectra to search and compare with."""
        return self.describer.index is not None and len(self.describer.index.spectra) > 0

    def examples(self) -> list[tuple[str, str]]:
        """`(label, id)` of the brightest catalogue source of each class, the held-out first."""
        if not self.searchable:
            return []
        assert self.describer.index is not None  # searchable
        entries = self.describer.index.spectra.entries
        order = sorted(
            entries, key=lambda e: (e.get("split") != "test", -float(e.get("counts") or 0))
        )
        best: dict[str, Any] = {}
        for entry in order:
            best.setdefault(str(entry.get("class") or "no class"), entry)
        return [
            (f"{kind}: {entry.get('source_name') or entry['id']}", entry["id"])
            for kind, entry in list(best.items())[:EXAMPLES]
        ]

    def uploaded(self, files: Sequence[str] | None) -> list[Any]:
        """Files were dropped."""
        if not files:  # the field was emptied
            return [gr.skip()] * len(_PARTS)
        try:
            spectrum = read_upload(files, max_bytes=self.max_bytes, max_seconds=self.max_seconds)
            return self.show(spectrum)
        except UploadError as error:
            return self.refuse(str(error))
        except (ValueError, OSError) as error:
            return self.refuse(_sentence(error))
        finally:
            _discard(files)

    def opened(self, name: str | None) -> list[Any]:
        """A source of the catalogue was chosen."""
        if not name:
            return [gr.skip()] * len(_PARTS)
        try:
            return self.show(self.describer.catalogue_spectrum(name))
        except (KeyError, ValueError) as error:
            return self.refuse(_sentence(error))

    def compared(self, name: str | None, found: Description | None) -> list[Any]:
        """A point of the map, or a similar source, was clicked: message, spectrum and map."""
        if not name or found is None:
            return [gr.skip()] * 3
        label = _label(found)
        try:
            other = self.describer.catalogue_spectrum(name)
        except KeyError as error:
            return [html.message(_sentence(error), "note"), gr.skip(), gr.skip()]
        title = other.source_name or name
        drawn = spectrum_figure(found.spectrum, label, (title, other))
        return ["", drawn, self._map(found, name)]

    def asked(self, question: str | None, kind: str) -> list[Any]:
        """A question was put in words: message and answers."""
        question = (question or "").strip()
        if not question:
            return [html.message("Write what to look for, such as an absorbed binary.", "note"), ""]
        if len(question) > MAX_QUESTION:
            return [html.message(f"Ask in at most {MAX_QUESTION} characters."), ""]
        try:
            hits = self.describer.search(question, top_k=12, kind=kind)
            if kind == "papers":
                assert self.describer.index is not None  # it was searched
                return ["", html.literature(hits, len(self.describer.index.papers))]  # type: ignore[arg-type]
            drawn = [(hit, self._sparkline(hit.id)) for hit in hits]
            return ["", html.answers(drawn)]  # type: ignore[arg-type]
        except (ValueError, OSError, ImportError) as error:
            return [html.message(_sentence(error)), ""]

    def show(self, spectrum: Any) -> list[Any]:
        """Everything the model says of a spectrum."""
        found = self.describer.describe(spectrum)
        if found.file is not None:  # where it lay for a moment says nothing
            found = replace(found, file=Path(found.file).name)
        parts = {
            "message": "",
            "results": gr.update(visible=True),
            "facts": html.facts(found),
            "spectrum": spectrum_figure(found.spectrum, _label(found)),
            "classes": html.classes(found.classes),
            "literature": html.literature(found.literature, found.gallery["papers"]),
            "variables": html.variables(found.variables),
            "map": self._map(found),
            "outlier": html.outlier(found.outlier),
            "similar": html.similar(found.similar),
            "exports": html.exports(found),
            "found": found,
            "files": None,
            "compare": "",  # so that the same click means something again
            "open": "",
        }
        return [parts[name] for name in _PARTS]

    def refuse(self, words: str) -> list[Any]:
        """A sentence, and no results that could be taken for those of the file."""
        parts = {"message": html.message(words), "results": gr.update(visible=False),
                 "found": None, "files": None, "compare": "", "open": ""}  # fmt: skip
        return [parts.get(name, gr.skip()) for name in _PARTS]

    def _map(self, found: Description, compared: str | None = None) -> Any:
        if self.points is None:
            return None
        return map_figure(self.points, found.map_position, _label(found), compared)

    def _sparkline(self, name: str) -> str:
        try:
            return sparkline(self.describer.catalogue_spectrum(name))
        except (KeyError, ValueError):  # found all the same
            return ""


def _lay_out(page: Page, answers: _Answers) -> None:
    parts: dict[str, Any] = {}
    index = answers.describer.index
    papers, spectra = (0, 0) if index is None else (len(index.papers), len(index.spectra))
    simulated = index is not None and bool(index.about.get("simulated"))
    gr.HTML(html.header(answers.describer.name, papers, spectra, simulated), padding=False)
    with gr.Tabs() as tabs:
        with gr.Tab("A spectrum", id="spectrum"):
            with gr.Row(equal_height=True):
                parts["files"] = gr.File(
                    label="PHA file (and ARF, RMF, background)",
                    file_count="multiple",
                    height=160,
                    elem_id="sc-files",
                    min_width=280,
                    scale=3,
                )
                chosen = gr.Dropdown(
                    answers.examples(),
                    value=None,
                    label="or a source of the catalogue",
                    elem_id="sc-examples",
                    visible=answers.searchable,
                    min_width=280,
                    scale=2,
                )
            parts["message"] = gr.HTML(padding=False, elem_id="sc-message")
            with gr.Column(visible=False, elem_id="sc-results") as parts["results"]:
                parts["facts"] = gr.HTML(padding=False)
                parts["exports"] = gr.HTML(padding=False)
                with gr.Row():
                    with gr.Column(scale=5, min_width=320):
                        parts["spectrum"] = _plot("sc-spectrum", "spectrum")
                        with gr.Column(visible=answers.points is not None, elem_classes="sc-plot"):
                            gr.HTML(html.map_title(), padding=False)
                            parts["map"] = _plot("sc-map", "map of the catalogue")
                        parts["literature"] = gr.HTML(padding=False)
                    with gr.Column(scale=4, min_width=320):
                        for name in ("classes", "outlier", "similar", "variables"):
                            parts[name] = gr.HTML(padding=False)
        with gr.Tab("Search in words", id="search", visible=index is not None):
            with gr.Row(equal_height=True):
                question = gr.Textbox(
                    label="What to look for",
                    placeholder=_QUESTIONS[0],
                    max_length=MAX_QUESTION,
                    elem_id="sc-question",
                    min_width=280,
                    scale=4,
                )
                kind = gr.Radio(
                    [("spectra", "spectra"), ("papers", "papers")] if spectra else ["papers"],
                    value="spectra" if spectra else "papers",
                    label="among",
                    elem_id="sc-kind",
                    scale=2,
                )
                ask = gr.Button("Search", variant="primary", elem_id="sc-ask", scale=1)
            gr.Examples([[words] for words in _QUESTIONS], [question], label="For example")
            told = gr.HTML(padding=False)
            listed = gr.HTML(padding=False, elem_id="sc-listed")
    # What a click on a point or a button means; see page.js.
    parts["compare"] = gr.Textbox(visible="hidden", elem_id="sc-compare")
    parts["open"] = gr.Textbox(visible="hidden", elem_id="sc-open")
    parts["found"] = gr.State(None, time_to_live=_SESSION_SECONDS)

    everything = [parts[name] for name in _PARTS]
    private: dict[str, Any] = {"api_visibility": "private"}
    parts["files"].upload(answers.uploaded, parts["files"], everything, **private)
    chosen.input(answers.opened, chosen, everything, **private)
    parts["open"].change(answers.opened, parts["open"], everything, **private).then(
        lambda: gr.Tabs(selected="spectrum"), None, tabs, **private
    )
    parts["compare"].change(
        answers.compared,
        [parts["compare"], parts["found"]],
        [parts["message"], parts["spectrum"], parts["map"]],
        show_progress="hidden",
        **private,
    )
    gr.on(
        [ask.click, question.submit, kind.input],
        answers.asked,
        [question, kind],
        [told, listed],
        **private,
    )
    script = (resources.files("hf_specclip.app") / "assets" / "page.js").read_text("utf-8")
    page.load(None, None, None, js=script, **private)


def _plot(name: str, label: str) -> gr.Plot:
    return gr.Plot(label=label, show_label=False, elem_id=name, elem_classes="sc-plot")


def _label(found: Description) -> str:
    return str(found.source.get("source_name") or "this spectrum")


def _sentence(error: Exception) -> str:
    words = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _discard(files: Sequence[str]) -> None:
    """Remove what was dropped, with the folder that Gradio made for each."""
    for file in map(Path, files):
        file.unlink(missing_ok=True)
        if file.parent.is_dir() and not any(file.parent.iterdir()):
            file.parent.rmdir()


__all__ = ["Page", "build_app"]

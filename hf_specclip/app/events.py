"""Events of the page: the values of its components after each action of the visitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ..describe.answers import SourceHit
from ..describe.describer import Describer
from ..describe.description import Description
from ..describe.inputs import keeps_counts
from ..describe.measured import fit_values
from ..errors import SpecCLIPError
from .figures import map_figure, spectrum_figure
from .html import render, render_exports
from .upload import UploadError, read_upload

# Components that a description fills, in the order of the lists that the events return.
RESULTS = ("message", "results", "facts", "spectrum", "classes", "literature", "variables", "map",
           "outlier", "similar", "exports", "description", "files", "open")  # fmt: skip
MAX_QUESTION = 500
_EXAMPLES = 12
_SEARCH_RESULTS = 12


class PageEvents:
    """Event handlers around a model.

    Args:
        describer: the model.
        max_bytes: largest file that is read.
        max_seconds: longest time that reading may take.
    """

    def __init__(self, describer: Describer, max_bytes: int, max_seconds: float):
        self.describer, self.max_bytes, self.max_seconds = describer, max_bytes, max_seconds
        try:
            self.map_points: dict[str, Any] | None = describer.map_points()
        except ValueError:
            self.map_points = None

    @property
    def has_spectra(self) -> bool:
        """True where the index has spectra to search and open."""
        return self.describer.index is not None and len(self.describer.index.spectra) > 0

    @property
    def can_open(self) -> bool:
        """True where the spectra of the index can be described, too."""
        return self.has_spectra and keeps_counts(self.describer.required_index())

    def examples(self) -> list[tuple[str, str]]:
        """List `(label, id)` of the brightest source of each class, held-out sources first."""
        if not self.can_open:
            return []
        entries = sorted(
            self.describer.required_index().spectra.entries,
            key=lambda entry: (entry.get("split") != "test", -float(entry.get("counts") or 0)),
        )
        brightest: dict[str, Any] = {}
        for entry in entries:
            brightest.setdefault(str(entry.get("class") or "no class"), entry)
        return [
            (f"{name}: {entry.get('source_name') or entry['id']}", entry["id"])
            for name, entry in list(brightest.items())[:_EXAMPLES]
        ]

    def upload(self, files: Sequence[str] | None) -> list[Any]:
        """Describe uploaded files."""
        if not files:  # the field was emptied
            return [gr.skip()] * len(RESULTS)
        try:
            spectrum = read_upload(files, max_bytes=self.max_bytes, max_seconds=self.max_seconds)
            return self._show(spectrum)
        except UploadError as error:
            return self._refuse(str(error))
        except (ValueError, OSError) as error:
            return self._refuse(_sentence(error))
        finally:
            _remove_uploads(files)

    def open(self, name: str | None) -> list[Any]:
        """Describe a source of the catalogue."""
        if not name:
            return [gr.skip()] * len(RESULTS)
        try:
            return self._show(self.describer.catalogue_spectrum(name))
        except (KeyError, ValueError) as error:
            return self._refuse(_sentence(error))

    def search(self, question: str | None, kind: str) -> list[Any]:
        """Search in words: what was understood, and the results."""
        question = (question or "").strip()
        if not question:
            hint = "Enter a query, such as “absorbed binary”."
            return [render("message", hint, "note"), ""]
        if len(question) > MAX_QUESTION:
            return [render("message", f"The query is longer than {MAX_QUESTION} characters."), ""]
        try:
            answer = self.describer.search(question, top_k=_SEARCH_RESULTS, kind=kind)
        except (SpecCLIPError, ValueError, OSError, ImportError) as error:
            return [render("message", _sentence(error)), ""]
        lines = [line for line in [*answer.question.lines(), *answer.notes] if line]
        if not answer.hits and answer.question.refusal is None:
            lines.append("no results match these conditions")
        message = render("understood", lines, not answer.hits)
        if not answer.hits:
            return [message, ""]
        if kind == "papers":
            papers = len(self.describer.required_index().papers)
            return [message, render("literature", answer.hits, papers)]
        sources = [hit for hit in answer.hits if isinstance(hit, SourceHit)]
        return [message, render("results", sources, self.can_open)]

    def _show(self, spectrum: Any) -> list[Any]:
        description = self.describer.describe(spectrum)
        if description.file is not None:  # without the temporary folder
            description = replace(description, file=Path(description.file).name)

        title = description.source.get("source_name") or description.title

        def part(section: str, *values: Any) -> str:
            return "" if section in description.withheld else render(section, *values)

        values = {
            "message": "",
            "results": gr.update(visible=True),
            "facts": render("facts", description, title),
            "spectrum": spectrum_figure(description.spectrum, _label(description)),
            "classes": part("classes", description.families, description.class_stands_out)
            + render("probes", description.probes),
            "literature": part("literature", description.literature, description.gallery["papers"]),
            "variables": render(
                "variables",
                description.variables,
                description.withheld,
                fit_values(description.fit),
            )
            + render("check", description.check),
            "map": self.map_points
            and map_figure(self.map_points, description.map_position, _label(description)),
            "outlier": part("outlier", description.outlier),
            "similar": part("similar", description.similar, self.can_open),
            "exports": render_exports(description),
            "description": description,
            "files": None,
            "open": "",  # so that a second click on the same source is a change
        }
        return [values[name] for name in RESULTS]

    def _refuse(self, text: str) -> list[Any]:
        """Show a sentence, and hide results that could be taken for those of the file."""
        values = {
            "message": render("message", text),
            "results": gr.update(visible=False),
            "description": None,
            "files": None,
            "open": "",
        }
        return [values.get(name, gr.skip()) for name in RESULTS]


def _label(description: Description) -> str:
    return str(description.source.get("source_name") or "this spectrum")


def _sentence(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _remove_uploads(files: Sequence[str]) -> None:
    """Remove uploaded files, and the folder that Gradio made for each."""
    for file in map(Path, files):
        file.unlink(missing_ok=True)
        if file.parent.is_dir() and not any(file.parent.iterdir()):
            file.parent.rmdir()

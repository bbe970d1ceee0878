"""Summaries by a language model, GPT-4o-mini as in arXiv 2603.04516.

Every answer is checked, kept, and paid for once. Papers are data: they go into the user's message
as JSON and nowhere else, and the task stands in the system's message alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_specclip.errors import SpecCLIPError

from .bibliography import SourceLiterature
from .chat_model import (
    ATTEMPTS,
    BATCH_SHARE,
    BYTES_A_TOKEN,
    FILTERED,
    ChatModel,
    FieldRefused,
    Messages,
)
from .questions import (
    MAX_BYTES,
    notes_documents,
    parse_answer,
    portions_of,
    problem_of,
    sections_of,
    size_of,
)
from .ranking import RankedPaper

PROMPTS = Path(__file__).parent / "prompts"
USUAL_OUTPUT_TOKENS = 350


class SummaryError(SpecCLIPError, RuntimeError):
    """A source whose answers could not be used; others may go on."""


class _Unanswered(Exception):
    """A question without an answer, where none may be asked."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self.messages = messages


@dataclass(frozen=True)
class CostForecast:
    """Cost of the summaries still to be asked for.

    Attributes:
        questions: to ask.
        input_tokens, output_tokens: all together.
        dollars: None where the model's price is not known.
    """

    questions: int
    input_tokens: float
    output_tokens: float
    dollars: float | None

    def __str__(self) -> str:
        cost = "at an unknown price" if self.dollars is None else f"about ${self.dollars:,.2f}"
        return (
            f"{self.questions:,} questions, about {self.input_tokens:,.0f} tokens in and "
            f"{self.output_tokens:,.0f} out, {cost}"
        )


class ModelSummariser:
    """Summariser that asks a language model for the three sections.

    Args:
        model: answers the questions.
        prompt: version of the prompts, a file of `prompts/`.

    Attributes:
        full_text: gives the text of a paper by its id, or None; without it, abstracts are read.

    Raises:
        ValueError: for an unknown prompt.
    """

    def __init__(self, model: ChatModel, prompt: str = "v1", *, workers: int = 4) -> None:
        path = PROMPTS / f"{prompt}.json"
        if not path.is_file():
            there = ", ".join(sorted(known.stem for known in PROMPTS.glob("*.json")))
            raise ValueError(f"prompt {prompt!r} is none of {there}")
        self.model = model
        self.prompt = json.loads(path.read_text(encoding="utf-8"))
        self.workers = workers
        self.full_text: Callable[[str], str | None] | None = None

    @property
    def name(self) -> str:
        """Name of model and prompt."""
        texts = ", full texts" if self.full_text is not None else ""
        return f"{self.model.name}, prompt {self.prompt['version']}{texts}"

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Ask for the three sections of a source, and check them.

        Long papers are read in pieces: notes on each portion first, then a summary of the notes.

        Raises:
            SummaryError: no answer could be used.
            CapReachedError: the next question could exceed the cap.
            ModelError: the server refuses or cannot be reached.
        """
        while True:
            try:
                return self._follow(source, papers, may_send=True)[0]
            except FieldRefused:
                continue

    def unanswered(self, source: SourceLiterature, papers: Sequence[RankedPaper]) -> list[Messages]:
        """List the questions to ask next for a source; none where all is answered."""
        try:
            return self._follow(source, papers, may_send=False)[1]
        except SummaryError:
            return []

    def forecast(
        self,
        sources: Iterable[tuple[SourceLiterature, Sequence[RankedPaper]]],
        *,
        batches: bool = False,
    ) -> CostForecast:
        """Forecast the cost of sources without answers; nothing is asked.

        Tokens for a byte, and tokens of an answer, are those counted so far where there are any.

        Args:
            batches: True when the questions go in batches.
        """
        spent, model = self.model.spent, self.model
        per_byte = (
            spent["input_tokens"] / spent["input_bytes"]
            if spent["input_bytes"]
            else 1 / BYTES_A_TOKEN
        )
        out = spent["output_tokens"] / spent["answers"] if spent["answers"] else USUAL_OUTPUT_TOKENS
        questions, size = 0, 0
        for source, papers in sources:
            portions = list(portions_of(self._documents(papers), MAX_BYTES))
            kind = "notes" if len(portions) > 1 else "summary"
            asked = [self._messages(kind, source, portion) for portion in portions]
            left = [size_of(messages) for messages in asked if model.answer(messages) is None]
            if len(portions) > 1:  # the summary of the notes
                left.append(len(portions) * round(out * BYTES_A_TOKEN))
            questions, size = questions + len(left), size + sum(left)
        tokens_in, tokens_out = size * per_byte, questions * out
        dollars = model.dollars(tokens_in, tokens_out)
        if dollars is not None and batches:
            dollars *= BATCH_SHARE
        return CostForecast(questions, tokens_in, tokens_out, dollars)

    @property
    def fixed_bytes(self) -> int:
        """Bytes of a question beside the papers."""
        source = SourceLiterature("2CXO J000000.0+000000", ("alias",) * 5, "X", "host", ())
        return size_of(self._messages("summary", source, ()))

    # -- questions about a source

    def _follow(
        self, source: SourceLiterature, papers: Sequence[RankedPaper], *, may_send: bool
    ) -> tuple[dict[str, str | None], list[Messages]]:
        """Go through the questions of a source; return its sections and the open questions."""
        documents = self._documents(papers)
        ids = [document["id"] for document in documents]
        open_questions: list[Messages] = []

        def ask(kind: str, portion: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            try:
                return self._ask(kind, source, portion, ids, may_send=may_send)
            except _Unanswered as question:
                open_questions.append(question.messages)
                return {}

        portions = list(portions_of(documents, MAX_BYTES))
        if len(portions) > 1:
            notes = [ask("notes", portion) for portion in portions]
            portions = [] if open_questions else [notes_documents(notes)]
        found = [ask("summary", portion) for portion in portions]
        return (sections_of(found[0]) if found and found[0] else {}), open_questions

    def _documents(self, papers: Sequence[RankedPaper]) -> list[dict[str, Any]]:
        documents = []
        for paper in papers:
            text = self.full_text(paper.id) if self.full_text is not None else None
            text = text or paper.abstract
            if paper.title or text:
                documents.append(
                    {"id": paper.id, "year": paper.year, "title": paper.title, "text": text}
                )
        return documents

    def _messages(
        self, kind: str, source: SourceLiterature, documents: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, str]]:
        about = {
            "name": source.name,
            "other_names": list(source.aliases[:20]),
            "class": source.source_class,
            "host": source.host,
        }
        data = json.dumps({"source": about, "papers": list(documents)}, ensure_ascii=False)
        plain = "response_format" in self.model.refused
        task = [*self.prompt[kind], *([self.prompt["form"]] if plain else [])]
        return [{"role": "system", "content": " ".join(task)}, {"role": "user", "content": data}]

    def _ask(
        self,
        kind: str,
        source: SourceLiterature,
        documents: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
        *,
        may_send: bool,
    ) -> dict[str, Any]:
        messages = self._messages(kind, source, documents)
        who, problem = f"{self.name}, {source.name}", ""
        for _ in range(ATTEMPTS):
            answer = self.model.answer(messages)
            if answer is None and not may_send:
                raise _Unanswered(messages)
            answer = answer or self.model.send(messages, source.name)
            if answer.end.startswith(("refusal", FILTERED)):
                raise SummaryError(f"{who}: the model refused ({answer.end})")
            found = parse_answer(answer.content)
            wrong = problem_of(found, ids, self.prompt["max_words"])
            if wrong is None and found is not None:
                return found
            problem = wrong or "it is no JSON object"
            if answer.end == "length":
                problem = f"it was cut off after {answer.output_tokens} tokens; write less"
            messages = [
                *messages[:2],
                {"role": "assistant", "content": answer.content[:4000]},
                {"role": "user", "content": self.prompt["again"].format(problem=problem)},
            ]
        raise SummaryError(f"{who}: {ATTEMPTS} answers refused: {problem}")

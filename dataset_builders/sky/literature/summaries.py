"""Stage that summarises a build's sources: by extraction, or by a language model.

The model is GPT-4o-mini, as in arXiv 2603.04516, or another. Every answer is checked, kept, and
paid for once. Papers are data: they go into the user's message as JSON and nowhere else, and the
task stands in the system's message alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_specclip.literature import SECTIONS, extractive_summary

from ..work.store import Absent, Item, Store, WorkError
from .bibliography import Literature, RankedPaper, SourceLiterature
from .chat_model import (
    ATTEMPTS,
    BYTES_A_TOKEN,
    FILTERED,
    Answer,
    ChatModel,
    FieldRefused,
    Messages,
    notes_documents,
    parse_answer,
    portions_of,
    problem_of,
    size_of,
)

STAGE = "summaries"
PROMPTS = Path(__file__).parent / "prompts"
USUAL_OUTPUT_TOKENS = 350
Pairs = Iterable[tuple[SourceLiterature, Sequence[RankedPaper]]]
# Takes the kind of a question (`notes`, `summary`) and the question; None where it stays open.
Ask = Callable[[str, Messages], Answer | None]


class SummaryError(WorkError):
    """A source whose answers could not be used; others may go on."""

    blames_service = False


@dataclass(frozen=True)
class CostForecast:
    """Cost of the summaries still to be asked for."""

    questions: int
    input_tokens: float
    output_tokens: float
    dollars: float | None  # None where the model's price is not known

    def __str__(self) -> str:
        cost = "at an unknown price" if self.dollars is None else f"about ${self.dollars:,.2f}"
        return (
            f"{self.questions:,} questions, about {self.input_tokens:,.0f} tokens in and "
            f"{self.output_tokens:,.0f} out, {cost}"
        )


class ExtractiveSummariser:
    """Summariser that takes sentences of the papers' abstracts: no key, no cost, no invention."""

    name = "extractive"

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Choose sentences; see `hf_specclip.literature.extractive_summary`."""
        return extractive_summary(
            name=source.name,
            aliases=source.aliases,
            host=source.host,
            source_class=source.source_class,
            papers=[asdict(paper) for paper in papers],
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
        """Ask for the three sections of a source, and check them; raises as `ChatModel.send`.

        Raises:
            SummaryError: no answer could be used.
        """

        def ask(kind: str, messages: Messages) -> Answer:
            return self.model.answer(messages) or self.model.send(messages, source.name)

        while True:
            with contextlib.suppress(FieldRefused):
                return self._read(source, papers, ask)

    def unanswered(self, pairs: Pairs) -> Iterable[tuple[SourceLiterature, str, Messages]]:
        """Yield the questions to ask next for each source with their kind; nothing is asked."""
        for source, papers in pairs:
            questions: list[tuple[str, Messages]] = []

            def look(kind: str, messages: Messages, found: Any = questions) -> Answer | None:
                answer = self.model.answer(messages)
                if answer is None:
                    found.append((kind, messages))
                return answer

            with contextlib.suppress(SummaryError):
                self._read(source, papers, look)
                yield from ((source, *question) for question in questions)

    def forecast(self, pairs: Pairs, *, batches: bool = False) -> CostForecast:
        """Forecast the cost of sources without answers, perhaps in batches; nothing is asked.

        Tokens for a byte, and tokens of an answer, are those counted so far where there are any.
        """
        spent = self.model.spent
        per_byte = 1 / BYTES_A_TOKEN
        if spent["input_bytes"]:
            per_byte = spent["input_tokens"] / spent["input_bytes"]
        out = spent["output_tokens"] / spent["answers"] if spent["answers"] else USUAL_OUTPUT_TOKENS
        questions, size, summed = 0, 0.0, set()
        for source, kind, messages in self.unanswered(pairs):
            questions, size = questions + 1, size + size_of(messages)
            if kind == "notes":  # they are read in their turn
                questions += source.name not in summed
                size += round(out * BYTES_A_TOKEN)
                summed.add(source.name)
        tokens_in, tokens_out = size * per_byte, questions * out
        dollars = self.model.dollars(tokens_in, tokens_out, batched=batches)
        return CostForecast(questions, tokens_in, tokens_out, dollars)

    @property
    def fixed_bytes(self) -> int:
        """Bytes of a question beside the papers."""
        source = SourceLiterature("2CXO J000000.0+000000", ("alias",) * 5, "X", "host", ())
        return size_of(self._messages("summary", source, ()))

    # -- questions about a source

    def _read(
        self, source: SourceLiterature, papers: Sequence[RankedPaper], ask: Ask
    ) -> dict[str, str | None]:
        """Read papers, long ones in pieces: notes on each portion, then a summary of the notes."""
        documents = []
        for paper in papers:
            text = (self.full_text(paper.id) if self.full_text else None) or paper.abstract
            if paper.title or text:
                documents.append(
                    {"id": paper.id, "year": paper.year, "title": paper.title, "text": text}
                )
        ids = [document["id"] for document in documents]
        portions: list[Sequence[Mapping[str, Any]]] = [*portions_of(documents)]
        if len(portions) > 1:
            notes = [self._ask("notes", source, portion, ids, ask) for portion in portions]
            portions = [notes_documents([*filter(None, notes)])] if all(notes) else []
        answers = [self._ask("summary", source, portion, ids, ask) for portion in portions]
        found = answers[0] if answers else None
        return {name: found[name] for name in SECTIONS} if found else {}

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
        ask: Ask,
    ) -> dict[str, Any] | None:
        """Ask until an answer can be used; None where the question stays open."""
        messages = self._messages(kind, source, documents)
        who, problem = f"{self.name}, {source.name}", ""
        for _ in range(ATTEMPTS):
            answer = ask(kind, messages)
            if answer is None:
                return None
            if answer.end.startswith(("refusal", FILTERED)):
                raise SummaryError(f"{who}: the model refused ({answer.end})")
            found = parse_answer(answer.content)
            if (wrong := problem_of(found, ids, self.prompt["max_words"])) is None:
                return found
            cut = f"it was cut off after {answer.output_tokens} tokens; write less"
            problem = cut if answer.end == "length" else wrong
            messages = [
                *messages[:2],
                {"role": "assistant", "content": answer.content[:4000]},
                {"role": "user", "content": self.prompt["again"].format(problem=problem)},
            ]
        raise SummaryError(f"{who}: {ATTEMPTS} answers refused: {problem}")


Summariser = ExtractiveSummariser | ModelSummariser


def write_summaries(
    store: Store, known: Literature, summariser: Summariser, papers_each: int
) -> None:
    """Summarise every source that has papers of its own, and anew those whose papers changed."""

    def write(item: Item) -> dict[str, Any] | Absent:
        source = known.of(item.id)
        papers = source.behind_summary(papers_each) if source else ()
        if source is None or not papers:
            return Absent("no paper but surveys")
        found = summariser.summarise(source, papers)
        sections = {name: found.get(name) for name in SECTIONS}
        if not any(sections.values()):
            return Absent("its papers say nothing")
        return {"sections": sections, "papers": [paper.id for paper in papers]}

    store.add(STAGE, {s.name: payload_of(s.behind_summary(papers_each), summariser) for s in known})
    store.each(STAGE, write, workers=getattr(summariser, "workers", 1))


def payload_of(papers: Iterable[RankedPaper], summariser: Summariser) -> dict[str, Any]:
    """Name all that a summary is made of: one made of something else is made anew."""
    return {"papers": [paper.id for paper in papers], "summariser": summariser.name}


def read_summaries(store: Store) -> dict[str, dict[str, str | None]]:
    """Read the three sections of every source that has any."""
    return {name: result["sections"] for name, result in store.got(STAGE)}

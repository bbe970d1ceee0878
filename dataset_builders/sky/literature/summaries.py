"""Summaries of the papers about a source, by sentence extraction or by a language model.

The default model is GPT-4o-mini, as in arXiv 2603.04516. Against prompt injection, papers are
passed as JSON in the user message, separate from the instructions, and responses are validated.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_specclip.literature import SECTIONS, extractive_summary

from ..work.store import Absent, Item, ItemError, Store
from .bibliography import Literature, RankedPaper, SourceLiterature
from .chat_model import (
    ATTEMPTS,
    BYTES_PER_TOKEN,
    FILTERED,
    ChatModel,
    ChatResponse,
    FieldRejectedError,
    Messages,
    find_response_fault,
    message_bytes,
    notes_to_documents,
    parse_json,
    split_documents,
)

STAGE = "summaries"
PROMPTS = Path(__file__).parent / "prompts"
TYPICAL_OUTPUT_TOKENS = 350
Pairs = Iterable[tuple[SourceLiterature, Sequence[RankedPaper]]]
# Takes the prompt (`notes`, `summary`) and the messages; returns None if there is no response yet.
Send = Callable[[str, Messages], ChatResponse | None]


class SummaryError(ItemError):
    """Source for which the model gave no valid response."""

    is_service_failure = False


@dataclass(frozen=True)
class CostForecast:
    """Cost of the remaining summaries."""

    requests: int
    input_tokens: float
    output_tokens: float
    dollars: float | None  # None if the price is unknown

    def __str__(self) -> str:
        cost = "price unknown" if self.dollars is None else f"about ${self.dollars:,.2f}"
        return (
            f"{self.requests:,} requests, about {self.input_tokens:,.0f} input and "
            f"{self.output_tokens:,.0f} output tokens, {cost}"
        )


class ExtractiveSummariser:
    """Summariser that extracts sentences from abstracts, without a language model."""

    name = "extractive"

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Select sentences; see `hf_specclip.literature.extractive_summary`."""
        return extractive_summary(
            name=source.name,
            aliases=source.aliases,
            host=source.host,
            source_class=source.source_class,
            papers=[asdict(paper) for paper in papers],
        )


class ModelSummariser:
    """Summariser that uses a language model.

    Args:
        prompt: version of the prompts, a file in `prompts/`.
        workers: concurrent requests.

    Attributes:
        full_text: function that returns the full text of a paper by id, or None; if unset,
            abstracts are summarised.

    Raises:
        ValueError: unknown prompt version.
    """

    def __init__(self, model: ChatModel, prompt: str = "v1", *, workers: int = 4) -> None:
        path = PROMPTS / f"{prompt}.json"
        if not path.is_file():
            versions = ", ".join(sorted(path.stem for path in PROMPTS.glob("*.json")))
            raise ValueError(f"prompt {prompt!r} is not one of {versions}")
        self.model = model
        self.prompt = json.loads(path.read_text(encoding="utf-8"))
        self.workers = workers
        self.full_text: Callable[[str], str | None] | None = None

    @property
    def name(self) -> str:
        """Model and prompt version."""
        texts = ", full texts" if self.full_text is not None else ""
        return f"{self.model.name}, prompt {self.prompt['version']}{texts}"

    def summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper]
    ) -> Mapping[str, str | None]:
        """Summarise the papers in three sections. Raises as `ChatModel.send`, and:

        Raises:
            SummaryError: no valid response.
        """

        def send(prompt: str, messages: Messages) -> ChatResponse:
            return self.model.cached_response(messages) or self.model.send(messages, source.name)

        while True:
            with contextlib.suppress(FieldRejectedError):
                return self._summarise(source, papers, send)

    def pending_requests(self, pairs: Pairs) -> Iterable[tuple[SourceLiterature, str, Messages]]:
        """Yield the next requests of each source, as (source, prompt, messages)."""
        for source, papers in pairs:
            pending: list[tuple[str, Messages]] = []

            def look_up(prompt: str, messages: Messages, pending: Any = pending) -> Any:
                response = self.model.cached_response(messages)
                if response is None:
                    pending.append((prompt, messages))
                return response

            with contextlib.suppress(SummaryError):
                self._summarise(source, papers, look_up)
                yield from ((source, *request) for request in pending)

    def forecast(self, pairs: Pairs, *, batches: bool = False) -> CostForecast:
        """Forecast the cost of summarising, from the token counts of cached responses if any."""
        usage = self.model.usage
        per_byte = 1 / BYTES_PER_TOKEN
        if usage["input_bytes"]:
            per_byte = usage["input_tokens"] / usage["input_bytes"]
        output = TYPICAL_OUTPUT_TOKENS
        if usage["answers"]:
            output = usage["output_tokens"] / usage["answers"]
        requests, size, with_notes = 0, 0.0, set()
        for source, prompt, messages in self.pending_requests(pairs):
            requests, size = requests + 1, size + message_bytes(messages)
            if prompt == "notes":  # input of a final request
                requests += source.name not in with_notes
                size += round(output * BYTES_PER_TOKEN)
                with_notes.add(source.name)
        tokens_in, tokens_out = size * per_byte, requests * output
        dollars = self.model.price(tokens_in, tokens_out, batched=batches)
        return CostForecast(requests, tokens_in, tokens_out, dollars)

    @property
    def fixed_bytes(self) -> int:
        """Size of a request without papers, bytes."""
        source = SourceLiterature("2CXO J000000.0+000000", ("alias",) * 5, "X", "host", ())
        return message_bytes(self._messages("summary", source, ()))

    def _summarise(
        self, source: SourceLiterature, papers: Sequence[RankedPaper], send: Send
    ) -> dict[str, str | None]:
        """Summarise papers; if they exceed one request, summarise notes on each chunk."""
        documents = []
        for paper in papers:
            text = (self.full_text(paper.id) if self.full_text else None) or paper.abstract
            if paper.title or text:
                documents.append(
                    {"id": paper.id, "year": paper.year, "title": paper.title, "text": text}
                )
        ids = [document["id"] for document in documents]
        chunks: list[Sequence[Mapping[str, Any]]] = [*split_documents(documents)]
        if len(chunks) > 1:
            notes = [self._request("notes", source, chunk, ids, send) for chunk in chunks]
            chunks = [notes_to_documents([*filter(None, notes)])] if all(notes) else []
        summaries = [self._request("summary", source, chunk, ids, send) for chunk in chunks]
        summary = summaries[0] if summaries else None
        return {name: summary[name] for name in SECTIONS} if summary else {}

    def _messages(
        self, prompt: str, source: SourceLiterature, documents: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, str]]:
        description = {
            "name": source.name,
            "other_names": list(source.aliases[:20]),
            "class": source.source_class,
            "host": source.host,
        }
        data = json.dumps({"source": description, "papers": list(documents)}, ensure_ascii=False)
        instructions = [*self.prompt[prompt]]
        if "response_format" in self.model.rejected_fields:
            instructions.append(self.prompt["form"])
        system = {"role": "system", "content": " ".join(instructions)}
        return [system, {"role": "user", "content": data}]

    def _request(
        self,
        prompt: str,
        source: SourceLiterature,
        documents: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
        send: Send,
    ) -> dict[str, Any] | None:
        """Send requests until a response is valid; None if there is no response yet."""
        messages = self._messages(prompt, source, documents)
        subject, problem = f"{self.name}, {source.name}", None
        for _ in range(ATTEMPTS):
            response = send(prompt, messages)
            if response is None:
                return None
            if response.end.startswith(("refusal", FILTERED)):
                raise SummaryError(f"{subject}: the model refused ({response.end})")
            summary = parse_json(response.content)
            problem = find_response_fault(summary, ids, self.prompt["max_words"])
            if problem is None:
                return summary
            if response.end == "length":
                problem = f"it was cut off after {response.output_tokens} tokens; write less"
            messages = [
                *messages[:2],
                {"role": "assistant", "content": response.content[:4000]},
                {"role": "user", "content": self.prompt["again"].format(problem=problem)},
            ]
        raise SummaryError(f"{subject}: {ATTEMPTS} invalid responses: {problem}")


Summariser = ExtractiveSummariser | ModelSummariser


def write_summaries(
    store: Store, literature: Literature, summariser: Summariser, papers_each: int
) -> None:
    """Summarise the papers of all sources that are new or whose papers have changed."""

    def summarise(item: Item) -> dict[str, Any] | Absent:
        source = literature.get(item.id)
        papers = source.summary_papers(papers_each) if source else ()
        if source is None or not papers:
            return Absent("no papers except surveys")
        summary = summariser.summarise(source, papers)
        sections = {name: summary.get(name) for name in SECTIONS}
        if not any(sections.values()):
            return Absent("nothing to summarise in its papers")
        return {"sections": sections, "papers": [paper.id for paper in papers]}

    inputs = {
        source.name: summary_inputs(source.summary_papers(papers_each), summariser)
        for source in literature
    }
    store.add(STAGE, inputs)
    store.process_each(STAGE, summarise, workers=getattr(summariser, "workers", 1))


def summary_inputs(papers: Iterable[RankedPaper], summariser: Summariser) -> dict[str, Any]:
    """Return the inputs of a summary; it is written again if they change."""
    return {"papers": [paper.id for paper in papers], "summariser": summariser.name}


def read_summaries(store: Store) -> dict[str, dict[str, str | None]]:
    """Return source -> sections."""
    return {name: result["sections"] for name, result in store.iter_results(STAGE)}

"""Grounded answers: retrieve, draft, check each sentence, cite or quote or decline.

The stream's events are dicts with a `type`: `status`, `token`, `tool`, `answer`, `error`
(docs/answers.md). Nothing that the model wrote reaches an `answer` unchecked.
"""

import datetime as dt
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async

from rag.access import OPEN_ONLY, Reader
from rag.answers import capability
from rag.answers.citations import NOT_IN_DOCUMENTS, Citations, Event, answer_event
from rag.answers.compose import compose
from rag.answers.evidence import Evidence, gather
from rag.answers.live_facts import LiveFacts
from rag.answers.prompt import messages
from rag.answers.rewriting import written_out
from rag.chat import model_tools
from rag.chat import tools as chat_tools
from rag.llm import llm_client
from rag.retrieval.search import SearchResult

__all__ = [
    "NOT_IN_DOCUMENTS",
    "Event",
    "QuestionInvalid",
    "answer_events",
    "clean_question",
    "compose",
    "gather",
    "messages",
]

logger = logging.getLogger(__name__)

MAX_QUESTION_CHARS = 1000
MAX_DRAFT_TOKENS = 96
MAX_DRAFT_TOKENS_STRONG = 400

MODEL_DOWN = "The language model does not answer; this is the best matching text, word for word."
MODEL_BROKE_OFF = "The language model broke off; this is the best matching text, word for word."


class QuestionInvalid(ValueError):
    """The question is empty or too long; the message says which."""


def clean_question(question: object) -> str:
    """The question in one line. Raises QuestionInvalid."""
    text = " ".join(str(question or "").replace("\x00", " ").split())
    if not text:
        raise QuestionInvalid("The question is empty.")
    if len(text) > MAX_QUESTION_CHARS:
        raise QuestionInvalid(
            f"The question has {len(text)} characters; at most {MAX_QUESTION_CHARS} are allowed."
        )
    return text


@dataclass
class _Run:
    """One question on its way: what the answer event reports of it."""

    asked_as: str = ""
    llm: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    timing: dict[str, int | None] = field(default_factory=lambda: {"first_token": None})

    def lap(self, name: str) -> None:
        """Note the time since the start, in ms."""
        self.timing[name] = round((time.perf_counter() - self.started) * 1000)

    def finish(self, event: Event) -> Event:
        """The event with what is known of the run."""
        self.lap("total")
        timing = {"retrieval": None, **self.timing}
        return event | {
            "asked_as": self.asked_as,
            "llm": self.llm,
            "tools": self.tools,
            "timing": timing,
        }


async def answer_events(
    *,
    question: str,
    user: Any,
    collection: str | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    at: dt.datetime | None = None,
) -> AsyncIterator[Event]:
    """Answer one cleaned question as a stream of events; the last is `answer` or `error`.

    `history` are the conversation's messages before it, oldest first; `at` a past time whose
    documents are meant. Closing the generator closes the connection to the model, which stops
    generating.
    """
    run = _Run()
    strong = await sync_to_async(capability.is_strong)()
    follow_up = await sync_to_async(written_out)(question, history, strong=strong)
    run.asked_as = follow_up.text if follow_up.text != question else ""
    asked = follow_up.text
    facts: LiveFacts | None = None
    beside: Mapping[str, Any] | None = None
    for_tools = asked if follow_up.is_users_own else question
    # Without a user (the system asks for itself) there is nobody whose rights a tool could use.
    chosen = await sync_to_async(_tool_for)(for_tools) if user is not None else None
    if chosen:
        tool, arguments = chosen
        combines = await sync_to_async(tool.combines)(for_tools)
        yield {"type": "status", "text": tool.description}
        try:
            result = await sync_to_async(chat_tools.run)(tool, user=user, arguments=arguments)
        except chat_tools.ToolRefused as error:
            if not combines:
                yield {"type": "error", "code": "tool_refused", "detail": str(error)}
                return
        else:
            run.tools.append({"name": tool.name, "result": result})
            yield {"type": "tool", "name": tool.name, "result": result}
            if combines:
                facts = LiveFacts.of_result(result)
            elif await sync_to_async(tool.beside)(for_tools):
                beside = result
            else:
                yield run.finish(_tool_answer(result))
                return
    yield {"type": "status", "text": "Searching the documents"}
    reader = await sync_to_async(Reader.of)(user) if user is not None else OPEN_ONLY
    evidence = await sync_to_async(gather)(
        question=asked,
        collection=collection,
        reader=reader,
        at=at,
        live=facts,
        with_live=not run.tools,
    )
    run.lap("retrieval")
    if beside is not None and not evidence.may_stand_beside:
        yield run.finish(_tool_answer(beside))
        return
    draft, degraded = "", ""
    if _wants_draft(evidence):
        count = len(evidence.prompt_hits)
        yield {"type": "status", "text": f"Reading {count} passage{'' if count == 1 else 's'}"}
        drafted = _drafted(asked, evidence, run, strong=strong)
        try:
            async for event in drafted:
                if event["type"] == "token":
                    draft += event["text"]
                    yield event
                else:
                    draft, degraded = "", event["text"]
        finally:
            await drafted.aclose()  # type: ignore[attr-defined]
        yield {"type": "status", "text": "Checking each sentence against its source"}
    event = await sync_to_async(compose)(
        question=asked,
        evidence=evidence,
        draft=draft,
        degraded=degraded,
        strong=strong,
        tool=beside,
    )
    if beside is None:
        event = _with_tool_text(event, run.tools)
    elif event["mode"] == "none":
        run.llm, event = "", _tool_answer(beside)
    yield run.finish(event)


def _tool_for(question: str) -> tuple[chat_tools.ChatTool, chat_tools.Arguments] | None:
    """The tool that the user's words ask for by the rules, else by a strong model's choice."""
    found = chat_tools.find(question)
    if found is not None or not capability.calls_tools():
        return found
    return model_tools.choose(question)


def _wants_draft(evidence: Evidence) -> bool:
    """Whether the model is asked at all: not where nothing was found, and not for a step that was
    asked for by its number, which is shown as it stands."""
    named = evidence.named
    if not evidence.is_sufficient or named.missing_step or named.is_precise:
        return False
    return bool(evidence.prompt_hits) or evidence.live is not None


async def _drafted(
    question: str, evidence: Evidence, run: _Run, *, strong: bool
) -> AsyncIterator[Event]:
    """The draft as `token` events; a `failed` event where the model does not answer or breaks
    off, after which the draft is not used."""
    from kvserve.client import LLMRefused, LLMUnavailable

    client = llm_client()
    stream = client.astream(
        messages(question, evidence, strong=strong),
        max_tokens=MAX_DRAFT_TOKENS_STRONG if strong else MAX_DRAFT_TOKENS,
        temperature=0.0,
    )
    try:
        async for token in stream:
            if run.timing["first_token"] is None:
                run.lap("first_token")
                run.llm = await sync_to_async(capability.model_name)()
            yield {"type": "token", "text": token}
    except (LLMUnavailable, LLMRefused) as error:
        logger.warning("no draft: %s", error)
        text = MODEL_DOWN if run.timing["first_token"] is None else MODEL_BROKE_OFF
        yield {"type": "failed", "text": text}
    finally:
        await stream.aclose()  # type: ignore[attr-defined]


def _tool_answer(result: Mapping[str, Any]) -> Event:
    """A tool's result as an answer; one that states facts cites them."""
    nothing = Evidence(SearchResult([]), None)
    citations = Citations(nothing)
    text = str(result.get("text", ""))
    if facts := result.get("facts"):
        text += f" [{citations.cite_tool(result, ' '.join(facts))}]"
    return answer_event(text=text, mode="tool", evidence=nothing, citations=citations)


def _with_tool_text(event: Event, tools: Sequence[Mapping[str, Any]]) -> Event:
    """The answer with the tool's words first, where a tool ran beside the documents."""
    if not tools or event["type"] != "answer":
        return event
    said = "\n\n".join(str(entry["result"].get("text", "")) for entry in tools).strip()
    return event | {"answer": f"{said}\n\n{event['answer']}"} if said else event

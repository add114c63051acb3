"""Client of kvserve, or of any OpenAI-compatible servers given by URL.

Importing this module is cheap: the openai SDK (about 1 s) is imported at the first call.
"""

import threading
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from kvserve.embed_call import CallFailed, EmbedCall, proxied

CONNECT_TIMEOUT_S = 3.0
READY_TIMEOUT_S = 3.0
TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2")  # what the SDK streams over, by version
EMBED_BATCH = 64  # texts per request, well under the server's body limit


class LLMUnavailable(Exception):
    """No server could answer; the message names each one with its cause. Trying later can help."""


class LLMRefused(Exception):
    """A server understood and refused (4xx); asking again the same way will not help."""


class ChatResult(NamedTuple):
    """`finish_reason` is "stop", or "length" when max_tokens cut the text."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    model: str


class ToolCall(NamedTuple):
    """A function that the model wants called. `arguments` is its JSON, unchecked."""

    name: str
    arguments: str


class Readiness(NamedTuple):
    ok: bool
    detail: str


class LLMClient:
    """Talks to the first server of `base_urls` that answers, starting with the last one that did.

    `base_urls` come without /v1. An empty `model` means the first one that the server lists. A stream
    fails over only until its first token. Objects are safe to share between threads.

    Every call raises:
        LLMUnavailable: all servers are down, overloaded, or answered with 5xx.
        LLMRefused: the server found the request wrong.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        *,
        model: str,
        timeout_s: float = 120.0,
        api_key: str = "none",
    ) -> None:
        self.base_urls = [url.rstrip("/") for url in base_urls]
        self.model = model
        self.timeout_s = timeout_s
        self.api_key = api_key
        self._preferred = 0
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._embedders: dict[str, EmbedCall | None] = {}
        self._first_models: dict[str, str] = {}

    def chat(
        self,
        messages: Sequence[dict[str, str]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        json_schema: dict[str, Any] | None = None,
        stop: str | list[str] | None = None,
    ) -> ChatResult:
        """The whole answer. With `json_schema` it is JSON of that schema unless cut by max_tokens."""
        arguments = _chat_arguments(messages, max_tokens, temperature, json_schema, stop)

        def ask(url: str) -> ChatResult:
            answer = self._client(url).chat.completions.create(model=self._model(url), **arguments)
            choice, usage = answer.choices[0], answer.usage
            return ChatResult(
                text=choice.message.content or "",
                finish_reason=choice.finish_reason,
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
                model=answer.model,
            )

        return self._first_answer(ask)

    def call_tools(
        self,
        messages: Sequence[dict[str, str]],
        *,
        tools: Sequence[dict[str, Any]],
        max_tokens: int = 256,
    ) -> tuple[ToolCall, ...]:
        """The functions that the model calls, of those offered in OpenAI's form; none where it
        answers in words instead."""
        arguments = _chat_arguments(messages, max_tokens, 0.0, None, None)

        def ask(url: str) -> tuple[ToolCall, ...]:
            answer = self._client(url).chat.completions.create(
                model=self._model(url), tools=list(tools), tool_choice="auto", **arguments
            )
            calls = answer.choices[0].message.tool_calls or ()
            return tuple(
                ToolCall(call.function.name, call.function.arguments or "")
                for call in calls
                if call.type == "function"
            )

        called: tuple[ToolCall, ...] = self._first_answer(ask)
        return called

    def stream(
        self,
        messages: Sequence[dict[str, str]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        json_schema: dict[str, Any] | None = None,
        stop: str | list[str] | None = None,
    ) -> Generator[str, None, None]:
        """Pieces of the answer as they come; close the iterator to cancel the request."""
        arguments = _chat_arguments(messages, max_tokens, temperature, json_schema, stop)

        def ask(url: str) -> Any:
            return self._client(url).chat.completions.create(
                model=self._model(url), stream=True, **arguments
            )

        chunks = self._first_answer(ask)
        try:
            for chunk in chunks:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
        except Exception as error:
            raise _translated(error, "the stream") from error
        finally:
            chunks.close()

    async def astream(
        self,
        messages: Sequence[dict[str, str]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        json_schema: dict[str, Any] | None = None,
        stop: str | list[str] | None = None,
    ) -> AsyncIterator[str]:
        """Like `stream`, for an event loop; each call has a connection of its own."""
        import asyncio

        arguments = _chat_arguments(messages, max_tokens, temperature, json_schema, stop)
        failures: list[str] = []
        for index, url in self._order():
            client = self._new_client(url, asynchronous=True)
            started = False
            try:
                model = await asyncio.to_thread(self._model, url)
                chunks = await client.chat.completions.create(model=model, stream=True, **arguments)
                self._preferred = index
                async for chunk in chunks:
                    if chunk.choices and chunk.choices[0].delta.content:
                        started = True
                        yield chunk.choices[0].delta.content
                return
            except Exception as error:
                failure = _translated(error, url)
                if started or isinstance(failure, LLMRefused):
                    raise failure from error
                failures.append(str(failure))
            finally:
                await client.close()
        raise LLMUnavailable(_nobody(failures))

    def embed(self, texts: Sequence[str], *, model: str) -> list[list[float]]:
        """One vector per text, in order."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), EMBED_BATCH):
            part = list(texts[start : start + EMBED_BATCH])

            def ask(url: str, part: list[str] = part) -> list[list[float]]:
                call = self._embedder(url)
                if call is not None:
                    return call.embed(part, model=model)
                listed = self._client(url).embeddings.create(model=model, input=part).data
                return [item.embedding for item in listed]

            vectors += self._first_answer(ask)
        return vectors

    def rerank(self, query: str, texts: Sequence[str], *, model: str) -> list[float]:
        """How well each text answers the query, in the order of the texts, by `/v1/rerank`."""
        body = {"model": model, "query": query, "documents": list(texts), "top_n": len(texts)}

        def ask(url: str) -> Any:
            return self._client(url).post("/rerank", body=body, cast_to=object)

        answer = self._first_answer(ask)
        try:
            scores = {int(i["index"]): float(i["relevance_score"]) for i in answer["results"]}
        except (KeyError, TypeError, ValueError) as error:
            raise LLMRefused(f"/v1/rerank answered in another form: {error!r}") from error
        if scores.keys() != set(range(len(texts))):
            raise LLMRefused(f"/v1/rerank scored {len(scores)} of {len(texts)} texts")
        return [scores[index] for index in range(len(texts))]

    def model_name(self) -> str:
        """The model asked of the server that is tried next: the one that answered last. Raises
        LLMUnavailable where it must be looked up and the server does not answer."""
        try:
            return self._model(self._order()[0][1])
        except Exception as error:
            raise _translated(error, self._order()[0][1]) from error

    def ready(self) -> Readiness:
        """Whether some server can answer now; never raises."""
        details = []
        for index, url in self._order():
            ok, detail = _probe(url, self.api_key)
            details.append(f"{url}: {detail}")
            if ok:
                self._preferred = index
                return Readiness(True, details[-1])
        return Readiness(False, "; ".join(details) or "no LLM server is configured")

    def _first_answer(self, ask: Callable[[str], Any]) -> Any:
        failures: list[str] = []
        for index, url in self._order():
            try:
                answer = ask(url)
            except Exception as error:
                failure = _translated(error, url)
                if isinstance(failure, LLMRefused):
                    raise failure from error
                failures.append(str(failure))
            else:
                self._preferred = index
                return answer
        raise LLMUnavailable(_nobody(failures))

    def _order(self) -> list[tuple[int, str]]:
        numbered = list(enumerate(self.base_urls))
        return numbered[self._preferred :] + numbered[: self._preferred]

    def _client(self, url: str) -> Any:
        with self._lock:
            if url not in self._clients:
                self._clients[url] = self._new_client(url)
            return self._clients[url]

    def _embedder(self, url: str) -> EmbedCall | None:
        """Of this server; None where a proxy stands between, which the SDK knows."""
        with self._lock:
            if url not in self._embedders:
                self._embedders[url] = None
                if not proxied(url):
                    self._embedders[url] = EmbedCall(
                        url,
                        api_key=self.api_key,
                        timeout_s=self.timeout_s,
                        connect_timeout_s=CONNECT_TIMEOUT_S,
                    )
            return self._embedders[url]

    def _new_client(self, url: str, *, asynchronous: bool = False) -> Any:
        import openai

        kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        return kind(
            base_url=f"{url}/v1",
            api_key=self.api_key,
            timeout=openai.Timeout(self.timeout_s, connect=CONNECT_TIMEOUT_S),
            max_retries=0,
        )

    def _model(self, url: str) -> str:
        """The model to ask for at this server."""
        if self.model:
            return self.model
        if url not in self._first_models:
            listed = self._client(url).models.list().data
            if not listed:
                raise LLMUnavailable(f"{url} lists no model")
            self._first_models[url] = listed[0].id
        return self._first_models[url]


def _chat_arguments(
    messages: Sequence[dict[str, str]],
    max_tokens: int,
    temperature: float,
    json_schema: dict[str, Any] | None,
    stop: str | list[str] | None,
) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": temperature,
    }
    if stop:
        arguments["stop"] = stop
    if json_schema is not None:
        arguments["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": json_schema, "strict": True},
        }
    return arguments


def _translated(error: Exception, where: str) -> Exception:
    """Our exception for one of the SDK's; bugs of our own pass through."""
    if isinstance(error, CallFailed):
        return _of_status(error.status, str(error), where)
    import openai

    if isinstance(error, openai.APIStatusError):
        return _of_status(error.status_code, error.message, where)
    if isinstance(error, openai.APITimeoutError):
        return LLMUnavailable(f"{where} did not answer in time")
    transport = type(error).__module__.partition(".")[0] in TRANSPORTS
    if transport or isinstance(error, openai.APIError):
        return LLMUnavailable(f"{where} is not reachable or broke off: {error}")
    if isinstance(error, LLMUnavailable):
        return error
    raise error


def _of_status(code: int, message: str, where: str) -> Exception:
    """4xx is final, except for what says "later"; 200 is an answer that cannot be read."""
    if code == HTTPStatus.OK:
        return LLMRefused(f"{where} {message}")
    if 400 <= code < 500 and code not in (408, 409, 425, 429):
        return LLMRefused(f"{where} refused the request ({code}): {message}")
    return LLMUnavailable(f"{where} answered {code}: {message}" if code else f"{where} {message}")


def _nobody(failures: list[str]) -> str:
    return "no LLM server could answer: " + ("; ".join(failures) or "none is configured")


def _probe(url: str, api_key: str) -> tuple[bool, str]:
    """GET /health, or /v1/models where a server has no /health."""
    status, text = _get(f"{url}/health", api_key)
    if status == HTTPStatus.NOT_FOUND:
        status, text = _get(f"{url}/v1/models", api_key)
    if status == HTTPStatus.OK:
        return True, "ready"
    return False, f"answered {status} {text}".strip() if status else text


def _get(url: str, api_key: str) -> tuple[int, str]:
    """Status and start of the body; status 0 and the cause when there is no answer."""
    if not url.startswith(("http://", "https://")):
        return 0, "not an http or https URL"
    request = Request(url, headers={"Authorization": f"Bearer {api_key}"})  # noqa: S310  # checked
    try:
        with urlopen(request, timeout=READY_TIMEOUT_S) as answer:  # noqa: S310  # checked
            return answer.status, ""
    except HTTPError as error:
        with error:
            return error.code, error.read(200).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return 0, str(getattr(error, "reason", error)) or type(error).__name__

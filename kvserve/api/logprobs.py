"""Log-probabilities in OpenAI's two shapes; None where the request did not ask for them."""

from collections.abc import Sequence as Seq
from typing import Any

from kvserve.api.protocol import Generate
from kvserve.engine.sequence import TokenLogprob
from kvserve.text.tokenizer import Tokenizer


def chat_logprobs(
    entries: Seq[TokenLogprob], tokenizer: Tokenizer, body: Generate
) -> dict[str, Any] | None:
    """The shape of chat completions: token, bytes and alternatives of each."""
    if body.num_logprobs is None:
        return None

    def one(token: int, logprob: float) -> dict[str, Any]:
        data = tokenizer.piece(token, special=True)
        text = data.decode(errors="replace")
        return {"token": text, "logprob": logprob, "bytes": list(data)}

    content = [
        {**one(entry.token, entry.logprob), "top_logprobs": [one(*other) for other in entry.top]}
        for entry in entries
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(
    entries: Seq[TokenLogprob], tokenizer: Tokenizer, body: Generate
) -> dict[str, Any] | None:
    """The older shape of text completions: parallel lists; offsets count from these entries."""
    if body.num_logprobs is None:
        return None

    def text(token: int) -> str:
        return tokenizer.piece(token, special=True).decode(errors="replace")

    tokens = [text(entry.token) for entry in entries]
    return {
        "tokens": tokens,
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [{text(t): logprob for t, logprob in entry.top} for entry in entries],
        "text_offset": [sum(map(len, tokens[:index])) for index in range(len(tokens))],
    }

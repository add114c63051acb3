"""What can never be served, whatever else runs."""

from collections.abc import Sequence as Seq

from kvserve.engine.sequence import SamplingParams
from kvserve.errors import RequestRefused


def check_request(
    prompt: Seq[int], params: SamplingParams, *, context: int, vocabulary: int
) -> None:
    """Refuse a prompt or a length that neither model nor block pool can hold.

    Raises:
        RequestRefused: with both sides of the contradiction.
    """
    if not prompt:
        raise RequestRefused("the prompt is empty: give at least one token", param="prompt")
    if not all(0 <= token < vocabulary for token in prompt):
        raise RequestRefused(f"the prompt has token ids outside 0…{vocabulary - 1}", param="prompt")
    if params.max_tokens < 1:
        raise RequestRefused(
            f"max_tokens is {params.max_tokens}: ask for at least 1", param="max_tokens"
        )
    if len(prompt) + params.max_tokens > context:
        raise RequestRefused(
            f"this server's context is {context} tokens, but the prompt has {len(prompt)} and"
            f" max_tokens asks for {params.max_tokens}: shorten the prompt or lower max_tokens",
            param="max_tokens" if len(prompt) < context else "prompt",
        )

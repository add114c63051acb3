"""The Azure code-completion trace: real lengths and arrivals, scaled to a small machine.

Both lengths are divided by one number, so that the longest request fits a slot of llama-server
(another divisor for outputs can be given).
Gaps between arrivals are the trace's own, all multiplied by one number that sets the mean rate.
Prompts are words of the trace's token counts; nothing is shared between them.
"""

import csv
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving.loads import Load, Prompt, text
from benchmarks.serving.peers import SLOT_TOKENS

LONGEST_PAUSE_S = 5.0  # the trace has pauses of minutes; a window that holds one is passed over
MARGIN = 16  # tokens of a slot left free: a start token, rounding
STAMP = "%Y-%m-%d %H:%M:%S.%f"


class Row(NamedTuple):
    """One request of the trace; `at` in seconds."""

    at: float
    prompt_tokens: int
    output_tokens: int


class Window(NamedTuple):
    """Consecutive requests; `arrivals` in seconds from the first, at one request per second."""

    prompts: list[Prompt]
    arrivals: list[float]


class Divisors(NamedTuple):
    """Of the trace's token counts."""

    prompt: int
    output: int


def read(path: Path) -> list[Row]:
    """All rows, by time.

    Raises:
        ValueError: the file is not this trace.
    """
    try:
        with path.open(newline="") as file:
            rows = [
                Row(
                    datetime.strptime(row["TIMESTAMP"][:26], STAMP).timestamp(),  # noqa: DTZ007
                    int(row["ContextTokens"]),
                    int(row["GeneratedTokens"]),
                )
                for row in csv.DictReader(file)
            ]
    except KeyError as error:
        raise ValueError(
            f"{path} has no column {error}: is it AzureLLMInferenceTrace_code.csv?"
        ) from None
    if len(rows) < 2:
        raise ValueError(f"{path} holds {len(rows)} requests: too few to replay")
    return sorted(rows)


def divisor(rows: list[Row]) -> int:
    """The least whole number by which all lengths fit a slot."""
    longest = max(row.prompt_tokens + row.output_tokens for row in rows)
    return -(-longest // (SLOT_TOKENS - MARGIN))


def slot_room(row: Row, by: Divisors) -> int:
    """Output tokens that fit a slot beside the prompt."""
    return SLOT_TOKENS - MARGIN - round(row.prompt_tokens / by.prompt)


def windows(rows: list[Row], size: int) -> list[int]:
    """Where windows of `size` requests without a long pause begin, one after another."""
    starts, start = [], 0
    for index in range(1, len(rows)):
        if rows[index].at - rows[index - 1].at > LONGEST_PAUSE_S:
            start = index
        elif index - start + 1 == size:
            starts.append(start)
            start = index + 1
    return starts


def window(rows: list[Row], start: int, size: int, *, by: Divisors, seed: object) -> Window:
    """Prompts and arrivals of one window, its mean rate made 1/s."""
    chosen = rows[start : start + size]
    prompts = [
        Prompt(
            text(max(1, round(row.prompt_tokens / by.prompt)), (seed, start, index)),
            min(slot_room(row, by), max(1, round(row.output_tokens / by.output))),
        )
        for index, row in enumerate(chosen)
    ]
    span = chosen[-1].at - chosen[0].at
    factor = (len(chosen) - 1) / span if span > 0 else 0.0
    return Window(prompts, [(row.at - chosen[0].at) * factor for row in chosen])


def saturating(rows: list[Row], start: int, size: int, *, by: Divisors, slots: int) -> Load:
    """The same kind of requests without pauses: what a server can do at most."""
    prompts = window(rows, start, size, by=by, seed="capacity").prompts
    return Load(prompts, slots)

"""The figures that the engine has to reach, beside what was measured."""

from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from benchmarks.serving.peers import KVSERVE, LIBRARY, LLAMA_SERVER

Entry = dict[str, Any]
Value = Callable[[list[Entry]], float | None]  # of a round's entries of one row
WASTE_LIMIT = 0.04
MOST_SEQUENCES = 32


class Figure(NamedTuple):
    """One target. `values` has one number per round; `met` is None where nothing was measured."""

    row: str
    what: str
    target: str
    values: list[float]
    met: bool | None
    note: str = ""


class Target(NamedTuple):
    """`value` of a round's entries of one row is compared with `limit`; None is not measured.
    Without a sign it is shown beside the others, and nothing is asked of it."""

    row: str
    what: str
    sign: str
    limit: float
    value: Value


def ratio(field: str, peer: str, *, of_peer: bool = False) -> Value:
    """Ours divided by the peer's in the same round, or the other way round."""

    def value(entries: list[Entry]) -> float | None:
        ours, theirs = (_get(entries, server, field) for server in (KVSERVE, peer))
        if not ours or not theirs:
            return None
        return theirs / ours if of_peer else ours / theirs

    return value


def advantage(field: str, peer: str, *, load: str) -> Value:
    """Ours minus the peer's in the same round."""

    def value(entries: list[Entry]) -> float | None:
        ours, theirs = (_get(entries, server, field, load) for server in (KVSERVE, peer))
        return None if ours is None or theirs is None else ours - theirs

    return value


def ours(field: str, load: str = "") -> Value:
    """A field of kvserve's own entry."""
    return lambda entries: _get(entries, KVSERVE, field, load)


def _get(entries: list[Entry], server: str, field: str, load: str = "") -> float | None:
    for entry in entries:
        if "crashed" not in entry and (entry["server"], entry.get("load", "")) == (server, load):
            return entry.get(field)
    return None


def growth_ratio(entries: list[Entry]) -> float | None:
    """Our kernels divided by stock at the most sequences."""
    own, stock = (entries[0].get(kind, {}).get(str(MOST_SEQUENCES)) for kind in ("own", "stock"))
    return own / stock if own and stock else None


def least_growth(entries: list[Entry]) -> float | None:
    """The smallest step of tok/s from one number of sequences to the next."""
    rates = list(entries[0].get("own", {}).values())
    return min((b / a for a, b in pairwise(rates)), default=None)


CPU = "cpu_s_per_1000_tokens"
TARGETS = (
    Target("shared", "tok/s ÷ llama-server's", "≥", 3.0, ratio("tokens_per_s", LLAMA_SERVER)),
    Target("shared", "tok/s ÷ llama_cpp.server's", "≥", 6.0, ratio("tokens_per_s", LIBRARY)),
    Target("shared", "TTFT p50 ÷ llama-server's", "≤", 0.5, ratio("ttft_p50_s", LLAMA_SERVER)),
    Target("shared", "llama-server's CPU s per token ÷ ours", "", 0, ratio(CPU, LLAMA_SERVER, of_peer=True)),
    Target("distinct", "tok/s ÷ llama-server's", "≥", 2.0, ratio("tokens_per_s", LLAMA_SERVER)),
    Target("distinct", "llama-server's CPU s per token ÷ ours", "", 0, ratio(CPU, LLAMA_SERVER, of_peer=True)),
    Target("alone", "tok/s ÷ llama-server's", "≥", 0.95, ratio("tokens_per_s", LLAMA_SERVER)),
    Target("alone", "llama-server's TTFT ÷ ours", "≥", 0.95,
           ratio("ttft_p50_s", LLAMA_SERVER, of_peer=True)),
    Target("alone", "llama-server's CPU s per token ÷ ours", "", 0, ratio(CPU, LLAMA_SERVER, of_peer=True)),
    Target("growth", "tok/s, least step to twice as many", ">", 1.0, least_growth),
    Target("growth", f"tok/s at {MOST_SEQUENCES} ÷ stock's", "≥", 4.0, growth_ratio),
    Target("trace", "goodput share − llama-server's, 70 % of its capacity", ">", 0.0,
           advantage("goodput_share", LLAMA_SERVER, load=LLAMA_SERVER)),
    Target("trace", "goodput share − llama-server's, 70 % of kvserve's capacity", "", 0,
           advantage("goodput_share", LLAMA_SERVER, load=KVSERVE)),
    Target("trace", "waste with cached blocks, mean", "", 0, ours("waste_mean", load=LLAMA_SERVER)),
    Target("trace", "waste with cached blocks, highest", "", 0, ours("waste_max", load=LLAMA_SERVER)),
    Target("trace", "waste of what running requests hold, mean", "<", WASTE_LIMIT,
           ours("waste_of_running_mean", load=LLAMA_SERVER)),
    Target("tight", "share of requests that finish", "≥", 1.0, ours("finished_share")),
    Target("tight", "share of swapped requests with equal tokens", "≥", 1.0,
           ours("identical_share", load="swapped")),
)  # fmt: skip


def figures(entries: list[Entry], rows: list[str]) -> list[Figure]:
    """Every target of these rows."""
    return [_figure(target, entries) for target in TARGETS if target.row in rows]


def _figure(target: Target, entries: list[Entry]) -> Figure:
    of_row = [entry for entry in entries if entry["row"] == target.row]
    values = []
    for number in sorted({entry["round"] for entry in of_row}):
        value = target.value([entry for entry in of_row if entry["round"] == number])
        if value is not None:
            values.append(value)
    met = _holds(median(values), target.sign, target.limit) if values and target.sign else None
    failed = {server: _failed(of_row, server) for server in (KVSERVE, LLAMA_SERVER, LIBRARY)}
    notes = [f"{count} of {server}'s requests failed" for server, count in failed.items() if count]
    notes += sorted({e["crashed"] for e in of_row if "crashed" in e})
    return Figure(
        target.row,
        target.what,
        f"{target.sign} {target.limit:g}" if target.sign else "",
        values,
        None if met is None else met and not failed[KVSERVE],
        "; ".join(notes),
    )


def _failed(entries: list[Entry], server: str) -> int:
    return sum(entry.get("failed", 0) for entry in entries if entry["server"] == server)


def _holds(value: float, sign: str, limit: float) -> bool:
    return {
        "≥": value >= limit,
        "≤": value <= limit,
        ">": value > limit,
        "<": value < limit,
    }[sign]

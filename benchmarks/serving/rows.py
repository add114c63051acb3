"""One function per row: what is sent to whom in a round."""

from collections.abc import Callable
from statistics import fmean

from benchmarks.serving import client, loads, metrics, trace
from benchmarks.serving.bench import Bench, say
from benchmarks.serving.client import Replies
from benchmarks.serving.measure import goodput, run
from benchmarks.serving.peers import (
    BLOCK,
    KVSERVE,
    LIBRARY,
    LLAMA_SERVER,
    POOL_BLOCKS,
    SLOTS,
    kvserve,
)
from benchmarks.serving.roofline import Work
from kvserve.testing import ServerProcess

LOAD_SHARE = 0.7  # of capacity, by the issue
WORDS_PER_PROMPT = loads.PREFIX_WORDS + loads.OWN_WORDS
TIGHT_WORDS, TIGHT_OUTPUTS = (
    60,
    2,
)  # short prompts, twice the output: who is admitted outgrows the pool


def shared(bench: Bench, number: int) -> None:
    """350 shared words; llama_cpp.server, which answers one after another, gets the first of them
    only: waiting longer does not change its speed."""
    options = bench.options
    load = loads.prefixed(
        options.requests, options.concurrency, options.output_tokens, prefixes=1, seed=number
    )
    for server in bench.turn(number, KVSERVE, LLAMA_SERVER, LIBRARY):
        short = load._replace(prompts=load.prompts[: options.concurrency])
        bench.closed("shared", number, server, short if server.name == LIBRARY else load)


def distinct(bench: Bench, number: int) -> None:
    """As many prefixes as requests at a time: nothing is shared between those that run."""
    options = bench.options
    load = loads.prefixed(
        options.requests,
        options.concurrency,
        options.output_tokens,
        prefixes=options.concurrency,
        seed=("distinct", number),
    )
    for server in bench.turn(number, KVSERVE, LLAMA_SERVER):
        bench.closed("distinct", number, server, load)


def alone(bench: Bench, number: int) -> None:
    """One request, and when it has ended the next."""
    options = bench.options
    load = loads.distinct(
        options.alone, 1, options.output_tokens, words=WORDS_PER_PROMPT, seed=("alone", number)
    )
    for server in bench.turn(number, KVSERVE, LLAMA_SERVER):
        bench.closed("alone", number, server, load)


def growth(bench: Bench, number: int) -> None:
    """Decode only, our kernels beside stock ones, in a process of its own."""
    options = bench.options
    counts = [str(count) for count in options.growth]
    found = bench.part("growth", "--sequences", *counts, "--steps", str(options.growth_steps))
    bench.entries.append({"round": number, "row": "growth", "server": KVSERVE, **found})
    for kernel in ("attention", "products"):
        if found[kernel] == "stock":
            say(f"*** kvserve's {kernel} fell back to stock here")
    for count, rate in found["own"].items():
        say(f"{number}     growth {count:>3} sequences: {rate:6.1f} tok/s,"
            f" stock {found['stock'][count]:.1f}")  # fmt: skip


def traced(bench: Bench, number: int) -> None:
    """The trace at 70 % of each server's capacity, to both servers."""
    options = bench.options
    if bench.options.rows_of_trace is None:
        return
    rows, by = options.rows_of_trace, options.divisors
    starts = trace.windows(rows, options.trace_requests)
    if "capacity" not in bench.about:
        bench.about["trace_divisors"] = by._asdict()
        bench.about["capacity"] = _capacities(bench, starts[-1])
    start = starts[(number - 1) % len(starts)]
    for load, capacity in bench.about["capacity"].items():
        window = trace.window(rows, start, options.trace_requests, by=by, seed=(load, number))
        rate = LOAD_SHARE * capacity
        arrivals = [at / rate for at in window.arrivals]
        for server in bench.turn(number, KVSERVE, LLAMA_SERVER):
            _replay(bench, number, server, load, window, arrivals)


def _capacities(bench: Bench, start: int) -> dict[str, float]:
    """Requests/s that each server finishes when it is never without."""
    options = bench.options
    load = trace.saturating(
        options.rows_of_trace, start, options.trace_requests, by=options.divisors, slots=SLOTS
    )
    capacities = {}
    for server in bench.turn(0, LLAMA_SERVER, KVSERVE):
        replies = run(client.closed_loop(server.url, load))
        if replies.good:
            capacities[server.name] = len(replies.good) / replies.elapsed
            say(f"capacity on the trace's lengths, {server.name}: {capacities[server.name]:.2f}/s")
    return capacities


def _replay(
    bench: Bench,
    number: int,
    server: ServerProcess,
    load: str,
    window: trace.Window,
    arrivals: list[float],
) -> None:
    waste = metrics.Waste(server.url, blocks=POOL_BLOCKS)
    kept: list[Replies] = []

    async def replay() -> Replies:
        beside = waste.watch() if server.name == KVSERVE else None
        kept.append(await client.open_loop(server.url, window.prompts, arrivals, beside))
        return kept[0]

    entry = bench.measured("trace", number, server, replay, name=load)
    entry["requests_per_s_offered"] = len(arrivals) / arrivals[-1]
    if kept:
        entry.update(goodput(kept[0]))
        say(f"{'':>11}goodput {entry['goodput_share']:.0%} of {len(arrivals)} requests that came at"
            f" {entry['requests_per_s_offered']:.2f}/s, 70 % of {load}'s capacity")  # fmt: skip
    for name, samples in (("waste", waste.shares), ("waste_of_running", waste.running)):
        if samples:
            entry[f"{name}_mean"], entry[f"{name}_max"] = fmean(samples), max(samples)


def tight(bench: Bench, number: int) -> None:
    """A pool of a quarter of what 16 requests need that begin small and grow; once, swap against no
    swap."""
    options = bench.options
    if number == 1:
        found = bench.part("swapped")
        valid = found["reproducible_without_swaps"] and found["same_batch_shapes"]
        found["identical_share"] = found["identical_tokens"] / found["requests"] if valid else 0.0
        entry = {"round": number, "row": "tight", "server": KVSERVE, "load": "swapped", **found}
        bench.entries.append(entry)
        say(f"{number} tight: {found['identical_tokens']} of {found['requests']} requests wrote the same"
            f" tokens through {found['swaps_in']} swaps; log-probabilities differ by up to"
            f" {found['largest_logprob_difference']:.1e}")  # fmt: skip
    output_tokens = TIGHT_OUTPUTS * options.output_tokens
    per_request = -(-(TIGHT_WORDS + output_tokens) // BLOCK)
    blocks = options.concurrency * per_request // 4
    load = loads.distinct(
        options.tight, options.concurrency, output_tokens, words=TIGHT_WORDS, seed=("tight", number)
    )
    with kvserve(bench.settings, blocks=blocks, extra=options.kvserve_options) as server:
        run(client.closed_loop(server.url, loads.warm_up("tight")))
        before = metrics.read(server.url)
        entry = bench.closed("tight", number, server, load)
        after = metrics.read(server.url)
    entry["blocks"] = blocks
    entry["finished_share"] = (entry["requests"] - entry["failed"]) / options.tight
    counted = {
        name: int(after.get(key, 0) - before.get(key, 0))
        for name, key in (
            ("preemptions", metrics.PREEMPTIONS),
            ("swaps", metrics.SWAPS),
            ("recomputes", metrics.RECOMPUTES),
        )
    }
    entry |= counted
    say(f"{'':>11}{blocks} blocks: " + ", ".join(f"{n} {name}" for name, n in counted.items()))


ROWS: dict[str, Callable[[Bench, int], None]] = {
    "shared": shared,
    "distinct": distinct,
    "alone": alone,
    "growth": growth,
    "trace": traced,
    "tight": tight,
}


def works(bench: Bench) -> dict[str, Work]:
    """What one output token of each row stands for, where everything that can be shared is."""
    options = bench.options
    out, together = options.output_tokens, options.concurrency
    context = WORDS_PER_PROMPT + out / 2
    head, own = loads.PREFIX_WORDS, loads.OWN_WORDS
    per_row = {
        "shared": Work((head / options.requests + own) / out, together, context),
        "distinct": Work(
            (head * min(together, options.requests) / options.requests + own) / out,
            together,
            context,
        ),
        "alone": Work(WORDS_PER_PROMPT / out, 1, context),
    }
    decode = {f"growth {count}": Work(0, count, 512) for count in options.growth}
    return {k: v for k, v in (per_row | decode).items() if k.split()[0] in options.rows}

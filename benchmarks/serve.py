"""kvserve against llama-server and llama_cpp.server: every figure of the engine's target table.

    .venv/bin/python benchmarks/serve.py (--llama-server PATH | --build-llama-server)
        [--trace AzureLLMInferenceTrace_code.csv] [--rounds 3] [--quick] [--rows shared alone …]

All servers serve the same GGUF with the same threads and the same context (16 × 2,048 tokens); they
run in turn within each round, the order changes from round to round, prompts are new in every round,
and a warm-up is not counted. Figures are medians over rounds of the ratio within a round. On a
machine shared with others trust "CPU s per 1,000 tok" more than tok/s, and look at "cores of
others". Writes benchmarks/results/serve.json after every row; Ctrl-C keeps what is there.
Three rounds take under half an hour on two idle cores, `--quick` a few minutes.
"""

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the checkout this file lies in

from benchmarks.serving import build, machine, peers, report, trace  # noqa: E402
from benchmarks.serving.bench import Bench, say  # noqa: E402
from benchmarks.serving.figures import figures  # noqa: E402
from benchmarks.serving.rows import ROWS, works  # noqa: E402
from kvserve.config import available_cores  # noqa: E402

QUICK = {
    "rounds": 1, "requests": 16, "output_tokens": 24, "alone": 1, "growth": [1, 8, 32],
    "growth_steps": 3, "trace_requests": 24, "tight": 16,
}  # fmt: skip


def main() -> int:
    """Measure, print, save; the code is 0 unless nothing at all was measured."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = arguments()
    from kvserve.weights.model_store import prepare_bundled_model

    model = options.model or prepare_bundled_model(options.data_dir / "models")
    bench = Bench(options, peers.Settings(model, options.threads, options.data_dir))
    began = time.monotonic()
    interrupted = False
    try:
        prepare(bench)
        with bench.stack:
            start(bench)
            for number in range(1, options.rounds + 1):
                for row in options.rows:
                    one(bench, row, number)
        if options.roofline:
            say("measuring the machine's ceilings")
            bench.roofline = bench.part("roofline")
    except KeyboardInterrupt:
        interrupted = True
        say("interrupted; what was measured so far:")
    except RuntimeError as error:
        say(f"*** {error}")
    bench.about["minutes"] = round((time.monotonic() - began) / 60, 1)
    conclude(bench)
    if interrupted:
        return 130
    return 0 if bench.entries else 1


def one(bench: Bench, row: str, number: int) -> None:
    """A row of a round; what goes wrong with it does not end the others."""
    try:
        ROWS[row](bench, number)
    except Exception as error:
        say(f"*** {row}, round {number}: {error}")
        if not isinstance(error, RuntimeError | OSError):
            traceback.print_exc()
        bench.entries.append(
            {"round": number, "row": row, "server": peers.KVSERVE, "crashed": str(error)[:500]}
        )
    bench.save()


def prepare(bench: Bench) -> None:
    """Facts, the trace, and llama-server if it is to be built."""
    options = bench.options
    bench.about = machine.facts() | {
        "model": bench.settings.model.name,
        "context_tokens": peers.SLOTS * peers.SLOT_TOKENS,
        "slots": peers.SLOTS,
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
    }
    options.rows_of_trace, options.divisors = None, None
    if "trace" in options.rows:
        try:
            rows = trace.read(options.trace) if options.trace else None
        except (OSError, ValueError) as error:
            raise SystemExit(f"--trace: {error}") from error
        if rows is None:
            say("*** ROW trace IS LEFT OUT: give --trace AzureLLMInferenceTrace_code.csv")
            options.rows = [row for row in options.rows if row != "trace"]
        else:
            options.rows_of_trace = rows
            by = options.trace_divisor or trace.divisor(rows)
            options.divisors = trace.Divisors(by, options.trace_output_divisor or by)
            if not trace.windows(rows, options.trace_requests):
                raise SystemExit(f"--trace-requests {options.trace_requests}: nowhere in the trace do"
                                 " as many follow each other without a long pause")  # fmt: skip
            say(f"trace: {len(rows)} requests; prompts ÷ {by}, outputs ÷ {options.divisors.output}")
    if options.build_llama_server and options.llama_server is None:
        try:
            options.llama_server = build.llama_server(options.data_dir / "peers")
        except build.CannotBuild as error:
            bench.leave_out(peers.LLAMA_SERVER, str(error))


def start(bench: Bench) -> None:
    """Start everybody, peers with the threads' way of waiting that serves them better."""
    options, settings = bench.options, bench.settings
    bench.start(peers.kvserve(settings, extra=options.kvserve_options))
    if peers.KVSERVE not in bench.servers:
        raise RuntimeError("without kvserve there is nothing to compare")
    omp = "brief" if options.peer_omp == "auto" else options.peer_omp
    if options.llama_server and set(options.rows) - {"growth", "tight"}:
        if options.peer_omp == "auto":
            omp, rates = peers.choose_omp(options.llama_server, settings)
            bench.about["peer_omp_tokens_per_s"] = rates
            say("llama-server's threads wait " + ", ".join(
                f"{name}: {rate:.1f} tok/s" for name, rate in rates.items()) + f"; {omp} is taken"
            )  # fmt: skip
        bench.about["llama_server"] = machine.llama_server_version(options.llama_server)
        bench.start(peers.llama_server(options.llama_server, settings, omp=omp))
    elif peers.LLAMA_SERVER not in bench.absent and not options.llama_server:
        bench.leave_out(peers.LLAMA_SERVER, "give --llama-server PATH or --build-llama-server")
    if not options.no_library and "shared" in options.rows:
        try:
            extras = build.library_extras(options.data_dir / "peers" / "llama_cpp.server")
            bench.start(peers.library_server(extras, settings, omp=omp))
        except build.CannotBuild as error:
            bench.leave_out(peers.LIBRARY, str(error))
    bench.about["peer_omp"] = omp
    bench.about["idle_cores"] = peers.idle_cores(list(bench.servers.values()))
    for name, cores in bench.about["idle_cores"].items():
        if cores > 0.05:
            say(f"*** {name} burns {cores:.2f} cores while idle, which slows the others down")


def conclude(bench: Bench) -> None:
    """Tables and the file."""
    rows = bench.options.rows
    reached = figures(bench.entries, rows)
    roofs = report.roofline_rows(bench.entries, bench.roofline, works(bench))
    report.print_measured(bench.entries)
    report.print_growth(bench.entries)
    report.print_roofline(bench.roofline, roofs)
    report.print_figures(reached)
    bench.save(figures=[figure._asdict() for figure in reached], roofline_rows=roofs)
    for name, why in bench.absent.items():
        say(f"*** {name} was left out: {why.splitlines()[-1]}")
    for name, why in bench.dead.items():
        say(f"*** {name} crashed on the way: {why}")
    say(f"\nwritten to {bench.options.output}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def arguments() -> argparse.Namespace:
    """The command line; `--quick` changes defaults, not what is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW",
        help=f"of {', '.join(ROWS)} (default: all)")  # fmt: skip
    add("--rounds", type=int, default=3)
    add("--quick", action="store_true", help="one round of few requests: does it run at all?")
    add("--llama-server", type=Path, help="path of the binary to compare with")
    add("--build-llama-server", action="store_true", help="build it into the data folder, once")
    add("--no-library", action="store_true", help="leave llama_cpp.server out")
    add("--peer-omp", choices=["auto", *peers.OMP], default="auto",
        help="how the peers' OpenMP threads wait (default: whatever serves llama-server best here)")  # fmt: skip
    add("--trace", type=Path, help="AzureLLMInferenceTrace_code.csv")
    add("--trace-requests", type=int, default=96, help="per load, server and round")
    add("--trace-divisor", type=int, help="of all lengths (default: so that the longest fits)")
    add("--trace-output-divisor", type=int, help="of output lengths (default: the same)")
    add("--requests", type=int, default=48, help="of shared and distinct")
    add("--concurrency", type=int, default=16)
    add("--output-tokens", type=int, default=64)
    add("--alone", type=int, default=4, help="requests, one after another")
    add("--tight", type=int, default=32, help="requests on the small pool")
    add("--growth", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="numbers of sequences")
    add("--growth-steps", type=int, default=8)
    add("--kvserve-options", default="", help="more options for kvserve, in one string")
    add("--threads", type=int, default=available_cores())
    add("--model", type=Path, help="GGUF (default: the bundled one)")
    add("--no-roofline", dest="roofline", action="store_false")
    add("--data-dir", type=Path, default=ROOT / "var" / "benchmark", help="models, peers, logs")
    add("--output", type=Path, default=ROOT / "benchmarks" / "results" / "serve.json")
    if "--quick" in sys.argv[1:]:
        parser.set_defaults(**QUICK)
    options = parser.parse_args()
    for name in ("rounds", "requests", "concurrency", "output_tokens", "alone", "tight", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}: at least 1")
    if options.trace_requests < 2:
        parser.error("--trace-requests: at least 2")
    for name in ("llama_server", "model", "trace"):
        path = getattr(options, name)
        if path is not None and not path.is_file():
            parser.error(f"--{name.replace('_', '-')}: there is no file {path}")
    return options


if __name__ == "__main__":
    sys.exit(main())

"""Tables for the terminal and one JSON file with everything behind them."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving.figures import Entry, Figure
from benchmarks.serving.peers import KVSERVE
from benchmarks.serving.roofline import Model, Work, need

COLUMNS = {
    "tokens_per_s": ("tok/s", 1),
    "ttft_p50_s": ("TTFT p50 s", 2),
    "itl_p50_s": ("ITL p50 s", 3),
    "itl_p99_s": ("ITL p99 s", 3),
    "goodput_share": ("goodput share", 2),
    "goodput_per_s": ("goodput/s", 2),
    "waste_mean": ("waste", 4),
    "cpu_s_per_1000_tokens": ("CPU s per 1,000 tok", 2),
    "others_cores": ("cores of others", 2),
}


def spread(values: list[float], digits: int) -> str:
    """Median (lowest–highest)."""
    if not values:
        return "—"
    middle, low, high = (f"{x:.{digits}f}" for x in (median(values), min(values), max(values)))
    return f"{middle} ({low}–{high})" if len(values) > 1 else middle


def grouped(entries: list[Entry]) -> dict[tuple[str, str, str], list[Entry]]:
    """By row, load within the row, and server."""
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry["row"], entry.get("load", ""), entry["server"]), []).append(entry)
    return groups


def medians(entries: list[Entry]) -> list[dict[str, Any]]:
    """Of every number of a group: median, lowest, highest."""
    result = []
    for (row, load, server), group in grouped(entries).items():
        summary: dict[str, Any] = {"row": row, "load": load, "server": server, "runs": len(group)}
        for field in dict.fromkeys(field for entry in group for field in entry):
            values = [e[field] for e in group if type(e.get(field)) in (int, float)]
            if values and field != "round":
                summary[field] = [median(values), min(values), max(values)]
        result.append(summary)
    return result


def print_measured(entries: list[Entry]) -> None:
    """One line per row, load and server."""
    titles = [title for title, _ in COLUMNS.values()]
    print("\n| row | server | " + " | ".join(titles) + " | failed |")
    print("|---" * (len(titles) + 3) + "|")
    for (row, load, server), group in grouped(entries).items():
        if not any(field in entry for entry in group for field in COLUMNS):
            continue
        cells = [
            spread([e[field] for e in group if e.get(field) is not None], digits)
            for field, (_, digits) in COLUMNS.items()
        ]
        failed = sum(entry.get("failed", 0) for entry in group)
        name = f"{row}, 70 % of {load}" if load else row
        print(f"| {name} | {server} | {' | '.join(cells)} | {failed} |")


def print_growth(entries: list[Entry]) -> None:
    """Decode-only tok/s by number of sequences."""
    runs = [entry for entry in entries if entry["row"] == "growth" and "own" in entry]
    if not runs:
        return
    print("\n| sequences | own kernels tok/s | stock tok/s | ratio |\n|---|---|---|---|")
    for count in runs[0]["own"]:
        own, stock = ([run[kind][count] for run in runs] for kind in ("own", "stock"))
        ratios = [p / s for p, s in zip(own, stock, strict=True)]
        print(f"| {count} | {spread(own, 1)} | {spread(stock, 1)} | {spread(ratios, 2)} |")


def print_figures(figures: list[Figure]) -> None:
    """Target beside measured."""
    print("\n| row | figure | target | measured | reached |\n|---|---|---|---|---|")
    for figure in figures:
        digits = 4 if "waste" in figure.what else 2
        reached = {True: "yes", False: "no", None: "" if figure.values else "not measured"}[
            figure.met
        ]
        note = f" ({figure.note})" if figure.note else ""
        print(
            f"| {figure.row} | {figure.what} | {figure.target}"
            f" | {spread(figure.values, digits)} | {reached}{note} |"
        )


def roofline_rows(
    entries: list[Entry], roofline: dict[str, Any], works: dict[str, Work]
) -> list[dict[str, Any]]:
    """For each row: bytes and operations per output token, the ceiling, and kvserve's share of it."""
    if not roofline:
        return []
    model = Model(**roofline["model"])
    most = roofline["ceilings"][max(roofline["ceilings"], key=int)]
    ops_per_s = max(most["float32_ops_per_s"], most["int8_ops_per_s"])
    result = []
    for row, work in works.items():
        achieved = _achieved(entries, row)
        if achieved is None:
            continue
        needed = need(model, work, bytes_per_s=most["read_bytes_per_s"], ops_per_s=ops_per_s)
        result.append(
            {"row": row, "achieved_tokens_per_s": achieved}
            | work._asdict()
            | needed._asdict()
            | {"share_of_ceiling": achieved / needed.ceiling_tokens_per_s}
        )
    return result


def _achieved(entries: list[Entry], row: str) -> float | None:
    """kvserve's median output tok/s of a row; `growth N` is decode-only at N sequences."""
    name, _, count = row.partition(" ")
    if count:
        rates = [e["own"].get(count) for e in entries if e["row"] == name and "own" in e]
    else:
        rates = [
            e.get("tokens_per_s") for e in entries if e["row"] == name and e["server"] == KVSERVE
        ]
    known = [rate for rate in rates if rate]
    return median(known) if known else None


def print_roofline(roofline: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The machine's ceilings, then what each row makes of them."""
    if not roofline:
        return
    print("\n| threads | reads GB/s | float32 GFLOP/s | int8 Gop/s |\n|---|---|---|---|")
    for threads, found in roofline["ceilings"].items():
        print(
            f"| {threads} | " + " | ".join(f"{value / 1e9:.1f}" for value in found.values()) + " |"
        )
    print("\n| row | MB per output token | Mop | at the bandwidth ms | at the op rate ms"
          " | ceiling tok/s | kvserve tok/s | share |")  # fmt: skip
    print("|---" * 8 + "|")
    for row in rows:
        print(
            f"| {row['row']} | {row['num_bytes'] / 1e6:.1f} | {row['ops'] / 1e6:.0f}"
            f" | {1e3 * row['bandwidth_s']:.2f} | {1e3 * row['compute_s']:.2f}"
            f" | {row['ceiling_tokens_per_s']:.0f} | {row['achieved_tokens_per_s']:.1f}"
            f" | {row['share_of_ceiling']:.2f} |"
        )


def save(path: Path, document: dict[str, Any]) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n")
    temporary.replace(path)

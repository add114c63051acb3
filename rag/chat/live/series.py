"""The course of points over a time: a chart, and a table of first, last, lowest and highest."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rag.chat.live import show
from rag.chat.quantities import described, is_made
from rag.chat.tools import ToolRefused

if TYPE_CHECKING:
    from facilities.selectors import Inventory, Series

MAX_SERIES = 6
MAX_POINTS = 240


def series_result(
    arguments: Mapping[str, Any], known: "Inventory", now: datetime
) -> dict[str, Any]:
    """Chart and figures of the asked points between `start` and `end`. Raises ToolRefused."""
    from facilities.selectors import wall_series

    start, end = _moment(arguments["start"]), _moment(arguments["end"])
    tags = _tags(arguments, known)
    label = str(arguments.get("label") or "the time asked for")
    if not tags:
        raise ToolRefused(
            "Say which quantity of which equipment, for example “power of rack-1-03”."
        )
    if start >= end:
        raise ToolRefused("The time asked about lies in the future.")
    found = [
        one
        for one in wall_series(tags=tags[:MAX_SERIES], start=start, end=end, max_points=MAX_POINTS)
        if one.usable()
    ]
    if not found:
        text = f"Nothing was recorded of {', '.join(tags[:3])} {label}."
        return show.result(text=text, title="Course", at=now, quality="missing",
                           url=show.point_url(tags[0]))  # fmt: skip
    rows, facts = [], []
    for one in found:
        row, fact = _figures(one, label, now)
        rows.append(row)
        facts.append(fact)
    chart = {
        "series": [
            {
                "label": one.tag,
                "unit": show.unit_of(one.unit),
                "points": [
                    [round(ts, 3), value, flag]
                    for ts, value, flag in zip(one.ts, one.values, one.flags, strict=True)
                ],
            }
            for one in found
        ],
        "from": start.timestamp(),
        "to": end.timestamp(),
    }
    flags = [flag for one in found for flag in one.flags]
    bad = sum(flag >= 3 for flag in flags)
    notes = (
        [f"{bad} of {len(flags)} values shown are flagged suspect, failed or missing."]
        if bad
        else []
    )
    if len(tags) > MAX_SERIES:
        notes.append(f"{len(tags) - MAX_SERIES} more points are not drawn; name fewer.")
    span = f"{show.clock(start, now=now)} to {show.clock(end, now=now)}"
    return show.result(
        text=" ".join(facts[:2]), title=f"Course, {label}", url=show.point_url(found[0].tag), at=now,
        table=show.table(["Point", "First", "Last", "Change", "Lowest", "Highest"], rows, span),
        chart=chart, quality="suspect" if bad else "good", facts=facts, notes=notes,
        assets=list(dict.fromkeys(one.tag.rpartition(".")[0] for one in found)),
    )  # fmt: skip


def _tags(arguments: Mapping[str, Any], known: "Inventory") -> list[str]:
    assets = arguments["assets"] or [
        asset.tag for kind in arguments["kinds"] for asset in known.of_kind(kind)
    ]
    tags = []
    for tag in assets:
        own = known.quantities.get(known.assets[tag].kind, {})
        wanted = arguments["quantities"] or [
            name
            for name in own
            if not name.endswith(("_sp_c", "_cmd", "_sp_pct")) and not is_made(name)
        ]
        tags += [f"{tag}.{quantity}" for quantity in wanted if quantity in own]
    return tags


def _figures(one: "Series", label: str, now: datetime) -> tuple[list[show.Cell], str]:
    pairs = [
        (ts, value)
        for ts, value, flag in zip(one.ts, one.values, one.flags, strict=True)
        if value is not None and flag < 4
    ]
    (_, first), (last_ts, last) = pairs[0], pairs[-1]
    low = min(pairs, key=lambda pair: pair[1])
    high = max(pairs, key=lambda pair: pair[1])
    asset, _, quantity = one.tag.rpartition(".")

    def said(value: float) -> str:
        return show.number(value, one.unit) if one.unit not in ("", "1") else f"{value:.4g}"

    def when(ts: float) -> str:
        return show.clock(datetime.fromtimestamp(ts, now.tzinfo), now=now)

    change = last - first
    sign = "+" if change > 0 else ""
    row: list[show.Cell] = [
        show.link(one.tag, show.point_url(one.tag)),
        said(first), said(last), f"{sign}{said(change)}",
        f"{said(low[1])} at {when(low[0])}", f"{said(high[1])} at {when(high[0])}",
    ]  # fmt: skip
    moved = "rose" if change > 0 else "fell"
    steady = abs(change) <= 0.005 * max(abs(first), 1e-9)
    went = "stayed at" if steady else f"{moved} from {said(first)} to"
    fact = (
        f"{asset} {described(quantity)} {went} {said(last)} ({label}, last value at "
        f"{when(last_ts)}); lowest {said(low[1])}, highest {said(high[1])}."
    )
    return row, fact


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ToolRefused(f"{str(text)[:40]!r} is no time.") from error
    if moment.tzinfo is None:
        raise ToolRefused(f"{text[:40]!r} has no time zone.")
    return moment

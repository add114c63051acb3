"""Chat tool `data_quality`: which points are bad, which are silent, and whether one can be trusted."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from rag.chat.asked import Asked, Match
from rag.chat.live import show
from rag.chat.tools import ChatTool, ToolRefused, beside, combines

SCANNED = 500
_BAD = ("bad", "suspect", "failing", "failed", "faulty", "implausible", "wrong values", "frozen",
        "stuck", "drifting", "quality", "trust", "trustworthy", "reliable", "flagged", "poor")  # fmt: skip
_SILENT = ("silent", "stale", "missing", "not reporting", "not sending", "no data", "dead", "offline",
           "stopped reporting", "stopped sending", "not updating")  # fmt: skip
_DATA = ("point", "points", "sensor", "sensors", "reading", "readings", "data", "values", "value",
         "probe", "probes", "measurement", "measurements", "telemetry")  # fmt: skip


def score(asked: Asked) -> Match | None:
    """Points or readings, and a word for bad or silent."""
    bad, silent = asked.says(*_BAD), asked.says(*_SILENT)
    data = asked.says(*_DATA)
    if not (bad or silent) or not (data or asked.is_about_equipment) or asked.is_hypothesis:
        return None
    if not data and not asked.says("trust", "trustworthy", "quality", "silent", "stale", "reporting",
                                   "not sending"):  # fmt: skip
        return None
    points = 2.5 + 2.0 * asked.is_about_equipment + 1.0 * asked.asks_list + 1.0 * asked.asks_now
    points += 0.5 * asked.says("sensor", "sensors", "points", "point", "data quality")
    points += 1.0 * asked.says("can i trust", "can we trust", "trustworthy", "data quality")
    if asked.mentions.kinds:
        points += 0.5
    if asked.wants_documents and not asked.also_documents:
        points -= 3.0
    arguments = {
        "assets": asked.mentions.tags,
        "kinds": [] if asked.mentions.assets else list(asked.mentions.kinds)[:2],
        "which": "both" if bad == silent else ("bad" if bad else "silent"),
        "note": show.did_you_mean(asked),
    }
    return Match(points, arguments, asked.also_documents)


def run(_user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Verdicts of the quality tests and silent points. Raises ToolRefused."""
    from facilities.quality.reads import point_verdicts
    from facilities.selectors import inventory, snapshot

    now, known = timezone.now(), inventory()
    assets, kinds, which = arguments["assets"], arguments["kinds"], arguments["which"]
    for tag in assets:
        if tag not in known.assets:
            raise ToolRefused(f"There is no asset {tag[:80]!r} in the inventory.")

    def concerns(asset: str) -> bool:
        if assets:
            return asset in assets
        return not kinds or (asset in known.assets and known.assets[asset].kind in kinds)

    bad: list[list[show.Cell]] = []
    facts: list[str] = []
    counted = 0
    if which in ("bad", "both"):
        found = point_verdicts(flag="bad")
        if assets:
            found = found.filter(point__asset__tag__in=assets)
        if kinds:
            found = found.filter(point__asset__kind__in=kinds)
        counted = found.count()
        for verdict in found[: show.MAX_ROWS]:
            why = _why(verdict.tests)
            tone = show.TONES.get(verdict.flag, "")
            bad.append([
                show.link(verdict.point.tag, show.point_url(verdict.point.tag)),
                {"text": show.QUALITY.get(verdict.flag, "?"), "tone": tone},
                show.clock(verdict.since, now=now), why,
            ])  # fmt: skip
            facts.append(f"Point {verdict.point.tag} is {show.QUALITY.get(verdict.flag, '?')} since "
                         f"{show.clock(verdict.since, now=now)}: {why}.")  # fmt: skip
    silent: list[list[show.Cell]] = []
    reported = 0
    if which in ("silent", "both"):
        shot = snapshot(mode="latest", reader="chat")
        for value in shot.values.values():
            if not concerns(value.asset):
                continue
            reported += 1
            if value.stale:
                silent.append([
                    show.link(value.tag, show.point_url(value.tag)), {"text": "silent", "tone": "bad"},
                    show.clock(value.ts, now=now), f"last value {show.number(value.value, value.unit)}, "
                    f"{show.age(value.age_s)} old",
                ])  # fmt: skip
                facts.append(f"Point {value.tag} is silent for {show.age(value.age_s)}.")
    rows = bad + silent
    where = f" of {', '.join(assets or kinds)}" if assets or kinds else ""
    said = []
    if which in ("bad", "both"):
        said.append(f"{counted or 'No'} point{'' if counted == 1 else 's'}{where} "
                    f"{'is' if counted == 1 else 'are'} flagged suspect, failed or missing.")  # fmt: skip
    if which in ("silent", "both"):
        said.append(f"{len(silent) or 'None'} of {reported} points{where} that ever reported "
                    f"{'is' if len(silent) == 1 else 'are'} silent.")  # fmt: skip
    note = arguments.get("note", "")
    return show.result(
        text=" ".join([*said, note]).strip(), title="Data quality", url="/quality/", at=now,
        table=show.table(["Point", "State", "Since", "Why"], rows), facts=[*said, *facts],
        quality="suspect" if rows else "good", assets=assets,
    )  # fmt: skip


def _why(tests: Mapping[str, Any]) -> str:
    """The worst test's sentence."""
    failed = [
        (test.get("flag", 0), str(test.get("detail", "")), name)
        for name, test in (tests or {}).items()
        if isinstance(test, Mapping) and test.get("flag", 0) in (3, 4, 9)
    ]
    if not failed:
        return "see its tests"
    _flag, detail, name = max(failed, key=lambda item: item[0])
    return f"{name.replace('_', ' ')}: {detail}".rstrip(": .") if detail else name


_TAGS = {"type": "array", "items": {"type": "string", "maxLength": 80}, "maxItems": 6}
TOOL = ChatTool(
    name="data_quality",
    description="Reading the data's quality",
    permission="",
    score=score,
    run=run,
    combines=combines,
    beside=beside,
    purpose=(
        "Points whose data are bad (which=bad), that are silent (which=silent), or both, with"
        " the test that failed."
    ),
    schema={
        "type": "object",
        "required": ["assets", "kinds", "which"],
        "additionalProperties": False,
        "properties": {
            "assets": _TAGS,
            "kinds": _TAGS,
            "which": {"enum": ["bad", "silent", "both"]},
            "note": {"type": "string", "maxLength": 1000},
        },
    },
)

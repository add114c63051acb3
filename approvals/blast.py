"""What a write reaches: racks, servers, GPUs, jobs, links and halls, from how the site is connected.

Pure: everything comes from the situation, so that it costs no query and can be drawn again from a
record. It is stored with the proposal and signed with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from approvals.catalogue.base import Action, Write
from approvals.catalogue.situation import Situation

# What flows out of an asset of a kind when it is written to; what is not here reaches itself only.
_FLOWS: Final[dict[str, str]] = {
    "crac": "cooling", "chiller": "cooling", "pump": "cooling", "tower": "cooling", "cdu": "cooling",
    "ups": "power", "pdu": "power", "utility": "power", "generator": "power",
}  # fmt: skip
# Limits on what a sentence names.
NAMED: Final = 3


@dataclass
class _Reach:
    """What was found so far, by kind of asset, each once and in order."""

    found: dict[str, dict[str, None]] = field(default_factory=dict)
    it_w: float = 0.0

    def add(self, kind: str, *tags: str) -> None:
        self.found.setdefault(kind, {}).update(dict.fromkeys(tag for tag in tags if tag))

    def of(self, kind: str) -> list[str]:
        return sorted(self.found.get(kind, ()))


def blast_radius(
    *, action: Action, writes: Sequence[Write], situation: Situation
) -> dict[str, Any]:
    """What these writes reach.

    `racks`, `servers`, `jobs`, `links`, `halls` and `assets` (those written to) are tags, `gpus` is
    a number, `it_w` the IT power behind it in W. `spare`: how many other healthy sources of the same
    kind serve the worst-served rack that is reached, None where that is no question. `sentence` says
    it in words. An order that is no setpoint reaches nothing.
    """
    reach, written = _Reach(), sorted({w.asset for w in writes if w.body is None})
    for tag in written:
        _spread(tag, reach, situation)
    racks, servers = reach.of("rack"), reach.of("server")
    jobs = [job.tag for job in situation.jobs_on(servers)]
    spare = _spare(written, racks, situation)
    made: dict[str, Any] = {
        "racks": racks,
        "servers": servers,
        "gpus": len(reach.of("gpu")),
        "jobs": jobs,
        "links": reach.of("link"),
        "halls": reach.of("hall"),
        "assets": written,
        "it_w": round(_it_w(racks, servers, reach, situation)),
        "spare": spare,
    }
    return {**made, "sentence": _sentence(made, action, situation)}


def _spread(tag: str, reach: _Reach, situation: Situation) -> None:
    kind = situation.kind_of(tag)
    place = situation.assets.get(tag)
    if place is not None and place.hall:
        reach.add("hall", place.hall)
    if kind == "rack":
        _rack(tag, reach, situation)
    elif kind == "server":
        _server(tag, reach, situation)
    elif kind == "gpu":
        reach.add("gpu", tag)
        reach.add("server", place.parent if place else "")
        reach.add("rack", place.rack if place else "")
    elif kind == "link":
        _link(tag, reach, situation)
    elif kind in _FLOWS:
        for other in situation.downstream(tag, link=_FLOWS[kind]):
            if situation.kind_of(other) == "rack":
                _rack(other, reach, situation)


def _rack(tag: str, reach: _Reach, situation: Situation) -> None:
    reach.add("rack", tag)
    place = situation.assets.get(tag)
    reach.add("hall", place.hall if place else "")
    for other, there in situation.assets.items():
        if there.rack == tag and there.kind in ("server", "gpu"):
            reach.add(there.kind, other)


def _server(tag: str, reach: _Reach, situation: Situation) -> None:
    reach.add("server", tag)
    reach.add("rack", situation.assets[tag].rack)
    reach.add(
        "gpu", *(t for t, p in situation.assets.items() if p.kind == "gpu" and p.parent == tag)
    )


def _link(tag: str, reach: _Reach, situation: Situation) -> None:
    """The link, and the servers on the leaf whose traffic has to go another way."""
    reach.add("link", tag)
    for above in situation.upstream(tag, link="network"):
        if situation.kind_of(above) == "server":
            _server(above, reach, situation)


def _it_w(
    racks: Iterable[str], servers: Iterable[str], reach: _Reach, situation: Situation
) -> float:
    """IT power behind the writes, W: whole racks where a rack is fed, cooled or capped, else that
    of the servers, else that of the GPUs."""
    whole = [
        rack for rack in racks
        if {t for t, p in situation.assets.items() if p.rack == rack and p.kind == "server"}
        <= set(servers)
    ]  # fmt: skip
    inside = {t for t, p in situation.assets.items() if p.rack in whole}
    left = [s for s in servers if s not in inside]
    gpus = [g for g in reach.of("gpu") if g not in inside]
    of_server = {
        s: {t for t, p in situation.assets.items() if p.parent == s and p.kind == "gpu"}
        for s in left
    }
    total = sum(situation.value(f"{rack}.power_w") for rack in whole)
    for server in left:
        mine = of_server[server]
        if mine and not mine <= set(gpus):
            total += sum(situation.value(f"{g}.power_w") for g in gpus if g in mine)
        else:
            total += situation.value(f"{server}.power_w")
    return total


def _spare(written: Iterable[str], racks: Iterable[str], situation: Situation) -> int | None:
    """Other healthy sources of the same kind for the worst-served rack."""
    touched = set(written)
    sources = [tag for tag in touched if situation.kind_of(tag) in _FLOWS]
    reached = set(racks)
    if not sources or not reached:
        return None
    counts = []
    for source in sources:
        link = _FLOWS[situation.kind_of(source)]
        mine = reached.intersection(situation.downstream(source, link=link))
        others = [
            set(situation.downstream(peer, link=link))
            for peer in situation.peers(source, link=link)
            if peer not in touched and _healthy(peer, situation)
        ]
        counts += [sum(rack in other for other in others) for rack in mine]
    return min(counts, default=None)


# The point that says that a source of a kind serves, and its good value.
_SERVES: Final = {
    "ups": ("on_battery", 0.0), "pdu": ("breaker_closed", 1.0), "utility": ("available", 1.0),
}  # fmt: skip


def _healthy(tag: str, situation: Situation) -> bool:
    """Whether it serves its load now; one that says nothing does not count."""
    point, good = _SERVES.get(situation.kind_of(tag), ("running", 1.0))
    if not situation.has(f"{tag}.{point}") or situation.value(f"{tag}.{point}") != good:
        return False
    return not (situation.value(f"{tag}.fault") or situation.value(f"{tag}.bypass"))


def _sentence(made: dict[str, Any], action: Action, situation: Situation) -> str:
    if not made["assets"]:
        return "Nothing is written to the plant."
    parts = [
        _counted(made["racks"], "rack", situation),
        _counted(made["servers"], "server", situation),
        f"{made['gpus']} GPU{'s' if made['gpus'] != 1 else ''}" if made["gpus"] else "",
        _counted(made["links"], "link", situation),
        _counted(made["jobs"], "job", situation),
    ]
    said = [part for part in parts if part]
    if not said:
        name = situation.name(action.target)
        return f"Reaches {name} itself and, by the topology, nothing behind it."
    text = f"Reaches {', '.join(said)}"
    if made["it_w"]:
        text += f"; {made['it_w'] / 1000:.0f} kW of IT load"
    if made["spare"] is not None:
        others = made["spare"]
        text += "; " + (
            f"every rack keeps {others} other healthy source{'s' if others != 1 else ''}"
            if others
            else "at least one rack has no other healthy source"
        )
    return f"{text}."


def _counted(tags: Sequence[str], what: str, situation: Situation) -> str:
    if not tags:
        return ""
    if len(tags) <= NAMED:
        return ", ".join(situation.name(tag) for tag in tags)
    return f"{len(tags)} {what}s"

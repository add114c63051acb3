"""Chat tool `topology`: what feeds, cools and connects an asset, what depends on it, where it is."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from rag.chat.asked import Asked, Match
from rag.chat.live import show
from rag.chat.tools import ChatTool, ToolRefused, beside, combines

if TYPE_CHECKING:
    from facilities.selectors import Inventory, Reached

_UP = ("feeds", "feed", "fed by", "fed from", "powers", "powered by", "supplies", "supplied by",
       "supplied from", "cools", "cool", "cooled by", "upstream", "source of", "comes from",
       "connected to", "carries", "depend on", "relies on", "rely on")  # fmt: skip
_DOWN = ("depends on", "depends upon", "depending on", "downstream", "behind", "affected by",
         "affects", "affect", "lose power", "loses power", "losing", "hangs on",
         "hang on", "relying on", "impacted by", "serve", "serves", "what does", "feed to")  # fmt: skip
_WHERE = ("where is", "where are", "which rack", "what rack", "located", "location of", "which hall",
          "which row", "where can i find", "where do i find", "position of", "which server")  # fmt: skip
_INSIDE = ("what is in", "what's in", "in rack", "inside", "contains", "contain", "which servers",
           "which gpus", "what servers", "mounted in", "stands in", "installed in")  # fmt: skip
_REDUNDANT = ("redundant", "redundantly", "redundancy", "single point of failure", "n+1", "2n", "backup feed",
              "second feed", "both feeds", "dual fed", "dual-fed")  # fmt: skip
LINKS = {"power": "Power", "cooling": "Cooling", "network": "Network"}


def score(asked: Asked) -> Match | None:
    """A named asset and a word for a connection or a place."""
    found = asked.mentions
    if len(found.assets) == 0 or asked.is_hypothesis:
        return None
    tag = found.assets[-1].tag if asked.says("in which", "of") and len(found.assets) > 1 else (
        found.assets[0].tag
    )  # fmt: skip
    what = _what(asked)
    if not what:
        return None
    points = 3.0 + 2.0 + 0.5 * asked.asks_list
    if asked.wants_documents and not asked.also_documents:
        points -= 3.0
    kinds = [kind for kind, words in _LINK_WORDS.items() if asked.says(*words)]
    arguments = {"asset": tag, "what": what, "links": kinds, "note": show.did_you_mean(asked)}
    return Match(points, arguments, asked.also_documents)


_LINK_WORDS = {
    "power": ("power", "powers", "powered", "electricity", "feed", "feeds", "fed"),
    "cooling": ("cool", "cools", "cooled", "cooling"),
    "network": ("network", "connected", "switch", "uplink"),
}


def _what(asked: Asked) -> str:
    if asked.says(*_REDUNDANT):
        return "redundancy"
    if asked.says("depends on", "depends upon", "depending on", "downstream", "relying on", "hangs on",
                  "behind", "loses power", "lose power", "affected by", "affected", "impacted by"):  # fmt: skip
        return "downstream"
    if asked.says("what does") and asked.says("feed", "cool", "power", "supply", "serve", "carry"):
        return "downstream"
    if asked.says(*_WHERE):
        return "where"
    if asked.says(*_INSIDE):
        return "inside"
    return "upstream" if asked.says(*_UP) else ""


def run(_user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Read the links of one asset. Raises ToolRefused."""
    from facilities.selectors import inventory

    known, now = inventory(), timezone.now()
    tag = arguments["asset"]
    if tag not in known.assets:
        raise ToolRefused(f"There is no asset {tag[:80]!r} in the inventory.")
    what = arguments["what"]
    made = {"where": _where, "inside": _inside, "redundancy": _redundancy}.get(what)
    if made is not None:
        text, table, facts = made(tag, known)
    else:
        text, table, facts = _along(tag, known, what, list(arguments["links"]))
    note = arguments.get("note", "")
    return show.result(
        text=f"{text} {note}".strip(), title=f"Topology of {known.assets[tag].name}",
        url=show.asset_url(tag), at=now, table=table, facts=facts or [text], quality="good", assets=[tag],
    )  # fmt: skip


Made = tuple[str, dict[str, Any], list[str]]


def _along(tag: str, known: "Inventory", direction: str, links: list[str]) -> Made:
    rows: list[list[show.Cell]] = []
    said, facts = [], []
    verb = {"upstream": {"power": "powered", "cooling": "cooled", "network": "carried"}}
    for link in links or list(LINKS):
        found = known.reached(
            tag, link=link, direction="upstream" if direction == "upstream" else "downstream"
        )
        if not found:
            continue
        direct = [item.tag for item in found if item.distance == 1]
        if direction == "upstream":
            fact = f"{tag} is {verb['upstream'][link]} by {_listed(direct)}"
            further = [item.tag for item in found if item.distance > 1]
            fact += f", behind them {_listed(further)}." if further else "."
        else:
            kinds = Counter(known.assets[item.tag].kind for item in found)
            counted = ", ".join(
                f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in kinds.most_common(6)
            )
            fact = f"{counted} depend on {tag} for {link}, {_listed(direct)} directly."
        said.append(fact)
        facts.append(fact)
        rows += [_row(item, link, known) for item in found]
    if not rows:
        side = "before" if direction == "upstream" else "behind"
        return f"The inventory has no link {side} {tag}.", show.table([], []), []
    if direction != "upstream":
        standing = _held(
            tag, [str(row[0]["text"]) for row in rows if isinstance(row[0], dict)], known
        )
        if standing:
            said.append(standing)
            facts.append(standing)
    return " ".join(said), show.table(["Asset", "Kind", "Link", "Steps", "By way of"], rows), facts


def _held(tag: str, reached: list[str], known: "Inventory") -> str:
    racks = {
        name
        for name in [tag, *reached]
        if name in known.assets and known.assets[name].kind == "rack"
    }
    inside = Counter(
        asset.kind
        for asset in known.assets.values()
        if asset.rack in racks and asset.kind != "rack"
    )
    if not inside:
        return ""
    counted = ", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in inside.most_common(4))
    return f"In these racks stand {counted}."


def _row(item: "Reached", link: str, known: "Inventory") -> list[show.Cell]:
    asset = known.assets[item.tag]
    via = "directly" if item.distance == 1 else item.via
    return [
        show.link(asset.tag, show.asset_url(asset.tag)),
        asset.kind,
        LINKS[link],
        str(item.distance),
        via,
    ]


def _where(tag: str, known: "Inventory") -> Made:
    asset = known.assets[tag]
    parts = []
    if asset.parent:
        parts.append(f"is part of {asset.parent}")
    if asset.rack and asset.rack != tag:
        parts.append(f"stands in {asset.rack}")
    if asset.hall:
        parts.append(f"is in {asset.hall}")
    place = " and ".join(parts) or "has no place in the inventory"
    text = f"{asset.name} ({tag}) {place}."
    rows: list[list[show.Cell]] = [
        [name, show.link(value, show.asset_url(value))]
        for name, value in (("Part of", asset.parent), ("Rack", asset.rack), ("Hall", asset.hall))
        if value and value != tag
    ]
    return text, show.table(["Place", "Asset"], rows), [text]


def _inside(tag: str, known: "Inventory") -> Made:
    held = [a for a in known.assets.values() if tag in (a.rack, a.parent, a.hall) and a.tag != tag]
    direct = [a for a in held if not a.parent or a.parent == tag or a.rack != tag]
    if not held:
        return f"The inventory has nothing in {tag}.", show.table([], []), []
    kinds = Counter(asset.kind for asset in held)
    text = f"In {tag} are " + ", ".join(
        f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in kinds.most_common(8)
    ) + "."  # fmt: skip
    top = [a for a in direct if a.kind != "gpu"] or direct
    rows: list[list[show.Cell]] = [
        [show.link(a.tag, show.asset_url(a.tag)), a.name, a.kind] for a in top
    ]
    return (
        text,
        show.table(["Asset", "Name", "Kind"], rows),
        [text, f"In {tag}: {_listed([a.tag for a in top])}."],
    )


def _redundancy(tag: str, known: "Inventory") -> Made:
    rows: list[list[show.Cell]] = []
    facts = []
    for link, label in LINKS.items():
        direct = [
            r.tag for r in known.reached(tag, link=link, direction="upstream") if r.distance == 1
        ]
        if not direct:
            continue
        alone = _single_points(tag, link, known)
        paths = f"{len(direct)} {label.lower()} path{'' if len(direct) == 1 else 's'}"
        if alone:
            fact = f"{tag} has {paths} ({_listed(direct)}), but all of them need {_listed(alone)}."
        elif len(direct) > 1:
            fact = f"{tag} has {paths} ({_listed(direct)}); no single asset before it takes all of them away."
        else:
            fact = f"{tag} has one {label.lower()} path only, {_listed(direct)}."
        facts.append(fact)
        tone = "bad" if alone or len(direct) < 2 else ""
        verdict: show.Cell = {"text": _listed(alone) if alone else ("none" if len(direct) > 1 else direct[0]),
                              "tone": tone}  # fmt: skip
        rows.append([label, _listed(direct), verdict])
    if not rows:
        return f"The inventory has no link before {tag}.", show.table([], []), []
    text = " ".join(facts)
    return text, show.table(["Link", "Paths", "Single point of failure"], rows,
                            "Paths in the inventory; whether one alone carries the load is another "
                            "question."), facts  # fmt: skip


def _single_points(tag: str, link: str, known: "Inventory") -> list[str]:
    """Assets upstream without which no source reaches the asset any more."""
    before = {r.tag for r in known.reached(tag, link=link, direction="upstream")}
    into: dict[str, list[str]] = {}
    for kind, source, target in known.links:
        if kind == link:
            into.setdefault(target, []).append(source)
    sources = {name for name in before if not into.get(name)}

    def reachable(without: str) -> bool:
        seen, stack = {tag}, [tag]
        while stack:
            for up in into.get(stack.pop(), ()):
                if up == without or up in seen:
                    continue
                if up in sources:
                    return True
                seen.add(up)
                stack.append(up)
        return False

    return sorted(name for name in before if not reachable(name))[:4]


def _listed(tags: list[str]) -> str:
    shown = tags[:6]
    more = f" and {len(tags) - 6} more" if len(tags) > 6 else ""
    if len(shown) > 1 and not more:
        return ", ".join(shown[:-1]) + f" and {shown[-1]}"
    return ", ".join(shown) + more


TOOL = ChatTool(
    name="topology",
    description="Reading the connections",
    permission="",
    score=score,
    run=run,
    combines=combines,
    beside=beside,
    purpose=(
        "What feeds or cools a piece of equipment, what depends on it, where it stands, what "
        "is inside it, and whether it is a single point of failure."
    ),
    schema={
        "type": "object",
        "required": ["asset", "what", "links"],
        "additionalProperties": False,
        "properties": {
            "asset": {"type": "string", "maxLength": 80},
            "what": {"enum": ["upstream", "downstream", "where", "inside", "redundancy"]},
            "links": {"type": "array", "items": {"enum": list(LINKS)}},
            "note": {"type": "string", "maxLength": 1000},
        },
    },
)

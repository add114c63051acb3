"""A person's “propose …” as an action of the catalogue: which kind, on what, with which parameters.

Words only, no database: what they name is held against inventory and schema by `chat_tool.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

COMMAND = re.compile(r"^\s*(?:please\s+|/)?propose\b[\s:]*(?P<rest>.*)$", re.IGNORECASE | re.DOTALL)
NUMBER = re.compile(
    r"(?:\bto|\bat|=|\bof\s+at\s+most)\s*(?P<value>\d+(?:[.,]\d+)?)(?![\w-])", re.IGNORECASE
)
REASON = re.compile(r"\b(?:because|since|reason:)\s+(?P<reason>.+)$", re.IGNORECASE | re.DOTALL)
QUOTED = re.compile(r"[“\"](?P<title>[^”\"]{3,120})[”\"]|:\s*(?P<rest>[^:]{3,120})$")
DOCUMENT = re.compile(r"\b(?:mop|sop|eop)-[a-z0-9]+-\d+\b")
PRIORITY = re.compile(r"\b(?P<priority>low|medium|high|urgent|critical)[\s-]+priority\b")
# Tags as people write them, once white space is a dash.
TAG = re.compile(
    r"(?<![a-z0-9])(?:link-[a-z]+-\d+-[a-z]+-\d+|srv-?\d+(?:-gpu-?\d+)?|rack-?\d+-\d+"
    r"|ups-[a-z](?![a-z0-9])|(?:crac|chwp|chiller|cdu|tower|pdu|gen|hall|job|leaf|spine)-?\d+)"
    r"(?![a-z0-9])"
)


class Pattern(NamedTuple):
    """Words of a kind: every one of `has` is found and none of `lacks`; `number` is the parameter
    that a number fills.
    """

    kind: str
    has: tuple[str, ...]
    lacks: str = ""
    number: str = ""


BACK: Final = r"\b(?:return|back|from|off|out|end|leave)\b"
# The first that fits counts: the particular before the general.
PATTERNS: Final = (
    Pattern("open_work_order", (r"work[\s-]*order|\bticket\b|technician",)),
    Pattern("run_procedure", (r"\b(?:run|carry out|execute|follow|start)\b", r"procedure|\b(?:mop|sop|eop)\b")),
    Pattern("return_ups_from_bypass", (r"bypass", BACK)),
    Pattern("transfer_ups_to_bypass", (r"bypass",)),
    Pattern("uncordon_node", (r"\buncordon",)),
    Pattern("cordon_node", (r"\bcordon",)),
    Pattern("return_node", (r"\bundrain|\breturn|\bback\b.*\bservice|\bresume\b", r"srv|node|server")),
    Pattern("drain_node", (r"\bdrain",)),
    Pattern("reset_node", (r"\breset|\breboot|\bpower[\s-]cycle", r"srv|node|server")),
    Pattern("disable_link", (r"link", r"\bdisable|\bshut|\bisolate|\btake down|\bturn off")),
    Pattern("enable_link", (r"link", r"\benable|\bbring (?:up|back)|\bturn on")),
    Pattern("set_gpu_power_cap", (r"gpu|srv|server", r"\bpower\b|\bwatt"), number="power_limit_w"),
    Pattern("migrate_rack_load", (r"\bmigrate|\bmove\b", r"rack|load|srv|server")),
    Pattern("restore_rack_load", (r"\brestore|\braise\b|\blift\b|\buncap", r"rack|load|cap"), number="load_cap_pct"),
    Pattern(
        "set_chilled_water_setpoint",
        (r"chilled[\s-]*water|leaving[\s-]*water|\bchiller", r"setpoint|\bset\b|\bto\b|\bat\b"),
        lacks=r"\bstart|\bstop",
        number="chilled_water_c",
    ),
    Pattern("set_damper", (r"damper",), number="damper_pct"),
    Pattern("set_fan_speed", (r"\bfan",), number="fan_speed_pct"),
    Pattern("set_supply_setpoint", (r"supply|setpoint",), number="supply_c"),
    Pattern("stop_unit", (r"\bstop\b|\bswitch(?:ing)? off|\bturn off",)),
    Pattern("start_standby_crac", (r"\bstart|\bswitch on", r"crac")),
    Pattern("start_standby_unit", (r"\bstart|\bswitch on",)),
    Pattern("shed_rack_load", (r"\bshed|\bcap\b|\bload",), number="load_cap_pct"),
)  # fmt: skip
DAMPER_WORDS: Final = {"open": 100.0, "close": 0.0, "shut": 0.0}


def wish_of(question: str) -> Mapping[str, Any] | None:
    """Kind, target, tags that are named, params and rationale when the question begins with
    “propose”; what it does not say stays empty.
    """
    command = COMMAND.match(question)
    if command is None:
        return None
    rest = command["rest"]
    reason = REASON.search(rest)
    wish = rest[: reason.start()] if reason else rest
    low = wish.lower()
    pattern = next((p for p in PATTERNS if _fits(p, low)), None)
    tags = tags_in(low)
    return {
        "kind": pattern.kind if pattern else "",
        "target": tags[0] if tags else "",
        "tags": tags,
        "params": _params(pattern, wish, low) if pattern else {},
        "rationale": reason["reason"].strip()
        if reason
        else f"Asked for in the chat: {question.strip()[:500]}",
    }


def tags_in(low: str) -> list[str]:
    """The tags that are named, in order: `crac 4`, `crac4` and `crac-4` are one."""
    dashed = re.sub(r"[\s_]+", "-", low)
    found = [re.sub(r"(?<=[a-z])(?=\d)", "-", tag) for tag in TAG.findall(dashed)]
    return list(dict.fromkeys(found))


def _fits(pattern: Pattern, low: str) -> bool:
    if pattern.lacks and re.search(pattern.lacks, low):
        return False
    return all(re.search(words, low) for words in pattern.has)


def _params(pattern: Pattern, wish: str, low: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    number = NUMBER.search(wish)
    if pattern.number and number:
        found[pattern.number] = float(number["value"].replace(",", "."))
    elif pattern.kind == "set_damper":
        word = next((w for w in DAMPER_WORDS if re.search(rf"\b{w}", low)), "")
        found |= {"damper_pct": DAMPER_WORDS[word]} if word else {}
    elif pattern.kind == "run_procedure" and (document := DOCUMENT.search(low)):
        found["document"] = document.group()
    elif pattern.kind == "open_work_order":
        title = QUOTED.search(wish.strip())
        priority = PRIORITY.search(low)
        found["priority"] = priority["priority"] if priority else "medium"
        if title:
            found["title"] = (title["title"] or title["rest"]).strip(" .")
    return found

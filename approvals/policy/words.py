"""Requirements and policy documents as people say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NUMBER_WORDS: Final = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


ON_FREEZE_WORDS: Final = {
    "finish": "goes on when a freeze begins under way",
    "hold": "waits before its next step when a freeze begins under way",
}


def requirement_words(asked: Mapping[str, Any]) -> str:
    """What a rule asks for, e.g. `two signatures from two different roles, with a reason`."""
    people = int(asked.get("signatures", 0))
    roles = int(asked.get("distinct_roles", 0))
    people = max(people, roles)
    parts = []
    if people:
        text = f"{NUMBER_WORDS[people]} signature{'s' if people > 1 else ''}"
        if roles > 1:
            text += f" from {NUMBER_WORDS[roles]} different roles"
        if asked.get("least_role"):
            text += f" by {_a(asked['least_role'])} or above"
        parts.append(text)
    elif asked.get("least_role"):
        parts.append(f"signed by {_a(asked['least_role'])} or above")
    flags = {
        "reason": "a reason",
        "reauthenticate": "password or code again",
        "maintenance_only": "inside a maintenance window only",
        "editor_may_sign": "whoever edits it may sign it",
    }
    parts += [words for name, words in flags.items() if asked.get(name)]
    if asked.get("editor_may_sign") is False:
        parts.append("whoever edits it may not sign it")
    if "approval_valid_s" in asked:
        parts.append(f"signed within {span_words(asked['approval_valid_s'])}")
    if "execute_within_s" in asked:
        parts.append(f"executed within {span_words(asked['execute_within_s'])} of the signature")
    if asked.get("rollback") == "propose":
        parts.append("a rollback is proposed when it does not help")
    if "on_freeze" in asked:
        parts.append(ON_FREEZE_WORDS[asked["on_freeze"]])
    return ", ".join(parts) or "nothing more"


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


def span_words(seconds: float) -> str:
    """`90 s`, `15 min`, `2 h`, `3 d`."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {name}"
    return f"{seconds / 60:.1f} min" if seconds >= 600 else f"{seconds:g} s"


LIMIT_WORDS: Final = {
    "per_hour": "{:g} executed in an hour",
    "per_target_per_hour": "{:g} in an hour on one asset",
    "open_at_once": "{:g} under way at once",
    "max_racks": "{:g} racks reached",
    "max_gpus": "{:g} GPUs reached",
    "max_it_kw": "{:g} kW of IT load reached",
}


def limit_words(limits: Mapping[str, float]) -> str:
    """A rule's limits, e.g. `at most 3 executed in an hour, 2 racks reached`."""
    said = [LIMIT_WORDS[name].format(value) for name, value in limits.items()]
    return f"at most {', '.join(said)}"

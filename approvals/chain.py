"""The hash chain of the audit trail without a database: what an entry is, and whether a run of them
holds. Standard library only, so that an exported trail can be checked on any machine with Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from approvals.canonical import digest_of

GENESIS = "0" * 64
FIELDS = ("seq", "at", "actor", "event", "object", "payload", "prev_hash")


class Anchor(NamedTuple):
    """The newest entry of a finished day: kept elsewhere, it proves what the trail was then."""

    day: str
    seq: int
    hash: str


class AuditVerdict(NamedTuple):
    """Result of walking the chain.

    `broken_seq` is the first entry that does not hold, None when all do; `anchors` counts those
    that were met and agreed. `head` is the newest good hash: kept elsewhere, it also proves later
    that nothing was cut off the end.
    """

    ok: bool
    checked: int
    broken_seq: int | None
    detail: str
    head: str
    anchors: int = 0


@dataclass(frozen=True)
class Link:
    """One entry of the trail: `content` is all that the hash covers, `hash` what was stored."""

    content: Mapping[str, Any]
    hash: str

    @property
    def seq(self) -> int:
        """Its place in the trail, from 1."""
        return int(self.content["seq"])

    def problem(self, expected_seq: int, prev_hash: str) -> str:
        """Why it does not follow the one before it; '' when it does."""
        if self.seq != expected_seq:
            return (
                f"entry {expected_seq} is missing or out of order: the next one found is {self.seq}"
            )
        if self.content["prev_hash"] != prev_hash:
            return (
                f"entry {self.seq} does not follow entry {self.seq - 1}: its prev_hash is another"
            )
        if digest_of(dict(self.content)) != self.hash:
            return f"entry {self.seq} was altered: its content no longer matches its hash"
        return ""


def link_from_json(row: Mapping[str, Any]) -> Link:
    """An exported line. Raises ValueError, which names the missing field."""
    missing = [name for name in (*FIELDS, "hash") if name not in row]
    if missing:
        raise ValueError(f"an entry lacks {', '.join(missing)}")
    if not isinstance(row["seq"], int) or isinstance(row["seq"], bool):
        raise ValueError(f"an entry's seq is {row['seq']!r}, not a number")
    return Link({name: row[name] for name in FIELDS}, str(row["hash"]))


def walk(links: Iterable[Link], anchors: Iterable[Anchor] = ()) -> AuditVerdict:
    """Check entries in order from the first one, and every anchor against them.

    Memory stays flat: links are read once. An anchor beyond the end tells that the end was cut.
    """
    wanted: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        wanted.setdefault(anchor.seq, []).append(anchor)
    expected, prev_hash, met = 1, GENESIS, 0
    for link in links:
        problem = link.problem(expected, prev_hash)
        for anchor in wanted.pop(link.seq, []) if not problem else ():
            if anchor.hash != link.hash:
                problem = (
                    f"entry {link.seq} is not the one that was anchored on {anchor.day}: "
                    "the trail up to it was rewritten"
                )
            met += 1
        if problem:
            return AuditVerdict(False, expected - 1, link.seq, problem, prev_hash, met)
        expected, prev_hash = link.seq + 1, link.hash
    checked = expected - 1
    if wanted:
        seq = min(wanted)
        detail = (
            f"the trail ends at entry {checked}, but entry {seq} was anchored on "
            f"{wanted[seq][0].day}: its end was cut off"
        )
        return AuditVerdict(False, checked, checked + 1, detail, prev_hash, met)
    return AuditVerdict(True, checked, None, _all_hold(checked, met), prev_hash, met)


def _all_hold(checked: int, anchors: int) -> str:
    agreed = f", {anchors} anchor{'' if anchors == 1 else 's'} agree" if anchors else ""
    return f"all {checked} entries hold{agreed}"


def anchors_from_json(rows: Iterable[Mapping[str, Any]]) -> Iterator[Anchor]:
    """Exported anchors. Raises ValueError for a line that is none."""
    for row in rows:
        try:
            yield Anchor(str(row["day"]), int(row["seq"]), str(row["hash"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not an anchor: {dict(row)!r}") from error

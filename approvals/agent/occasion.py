"""What made the agent look: an alarm, something the scheduled look found, or a person's request."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from approvals.canonical import iso_utc
from approvals.models import Trigger
from facilities.alarms.kinds import KINDS
from facilities.alarms.payload import signal_unit
from facilities.models import Alarm, Asset


@dataclass(frozen=True, slots=True)
class Occasion:
    """The subject of one investigation, as plain values.

    `point` is the tag that is conspicuous ("" where only an asset is asked about), `what` says in a
    few words what is the matter: a rule's name, a finding, or the question. `value` in `unit`.
    `of_instrument`: the rule speaks of the instrument, not of the plant.
    """

    trigger: str
    asset: str
    asset_name: str
    asset_kind: str
    what: str
    at: str
    point: str = ""
    quantity: str = ""
    alarm: int | None = None
    value: float | None = None
    unit: str = ""
    severity: str = ""
    message: str = ""
    of_instrument: bool = False
    question: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Occasion:
        """The occasion of a record; keys of other versions are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})

    @property
    def title(self) -> str:
        """How a list names it, e.g. `CRAC 2: CRAC fault`."""
        return f"{self.asset_name}: {self.what}" if self.asset_name else self.what


def occasion_of_alarm(alarm: Alarm) -> Occasion:
    """An alarm; reads its point, asset and rule."""
    point, asset, rule = alarm.point, alarm.point.asset, alarm.rule
    return Occasion(
        trigger=Trigger.ALARM.value,
        asset=asset.tag,
        asset_name=asset.name,
        asset_kind=asset.kind,
        what=rule.name,
        at=iso_utc(alarm.raised_at),
        point=point.tag,
        quantity=point.quantity,
        alarm=alarm.pk,
        value=alarm.value,
        unit=signal_unit(alarm),
        severity=alarm.severity,
        message=alarm.message or rule.name,
        of_instrument=KINDS[rule.kind].of_instrument,
    )


def occasion_of_asset(
    *, asset: Asset, trigger: str, what: str, at: str, question: str = "", point: str = ""
) -> Occasion:
    """An asset that somebody asks about, or that the scheduled look found something on."""
    return Occasion(
        trigger=trigger,
        asset=asset.tag,
        asset_name=asset.name,
        asset_kind=asset.kind,
        what=what,
        at=at,
        point=point,
        quantity=point.rpartition(".")[2],
        message=what,
        question=question,
    )

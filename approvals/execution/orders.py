"""Orders on their way out: the one place from which anything leaves for the plant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from approvals.audit import audit_append
from approvals.drivers import driver_for
from approvals.drivers.base import DriverError, Order, Seen, WriteResult, nobody
from approvals.models import AuditEntry

SECRET_READ = "secret.read"  # noqa: S105 (the name of an event)

__all__ = [
    "DriverError",
    "Order",
    "PlannedWrite",
    "Seen",
    "asset_of",
    "can_repeat",
    "dry_run",
    "look",
    "send",
]


class PlannedWrite(NamedTuple):
    """One write as its driver would carry it out; `problem` says why it could not."""

    tag: str
    value: float
    driver: str
    binding: str
    is_dry_run: bool
    plan: list[str]
    problem: str


def asset_of(tag: str) -> str:
    """The asset that a point belongs to: its tag without the last part."""
    return tag.rpartition(".")[0] or tag


def orders_of(writes: Iterable[Mapping[str, Any]], fences: Mapping[str, int]) -> list[Order]:
    """Stored writes (`tag`, `value`, `body`?, `key`?) as orders."""
    return [order_of(write, fences) for write in writes]


def order_of(write: Mapping[str, Any], fences: Mapping[str, int]) -> Order:
    """One stored write as an order; `fences` by asset."""
    body = write.get("body")
    return Order(
        write["tag"],
        0.0 if body is not None else float(write["value"]),
        write.get("key", "<key>"),
        body,
        None if body is not None else fences.get(asset_of(write["tag"])),
        write.get("read_back") is False,
    )


def dry_run(*, writes: Iterable[Mapping[str, Any]]) -> list[PlannedWrite]:
    """What the drivers would send for these writes (`tag`, `value`, `key`?). Nothing is sent, no
    secret is read."""
    planned = []
    for order in orders_of(writes, {}):
        bound = driver_for(order.tag)
        plan, problem = [], ""
        try:
            plan = bound.driver.plan(order)
        except DriverError as error:
            problem = error.detail
        planned.append(
            PlannedWrite(
                *order[:2], bound.driver.name, bound.binding, bound.is_dry_run, plan, problem
            )
        )
    return planned


def send(order: Order, *, obj: str, asked_to_stop: Callable[[], str] = nobody) -> WriteResult:
    """Send one order. `obj` (`proposal:12`) is what it is sent for, in the trail; `asked_to_stop`
    is asked while the other side is waited for.

    Raises DriverError.
    """
    bound = driver_for(order.tag, on_secret=_telling(obj), asked_to_stop=asked_to_stop)
    if bound.is_dry_run:
        raise DriverError(
            f"binding {bound.binding} of {order.tag} is a dry run; nothing was written",
            maybe_applied=False,
        )
    return bound.driver.write(order)


def can_repeat(order: Order) -> bool:
    """Whether an order that may have been sent can be sent again with its key."""
    return driver_for(order.tag).driver.can_repeat(order)


def look(order: Order, *, obj: str) -> Seen:
    """Ask the other side what became of an order. Writes nothing."""
    return driver_for(order.tag, on_secret=_telling(obj)).driver.look(order)


def _telling(obj: str) -> Callable[[str, str], None]:
    """Say in the trail that a binding's secret is read: once for each binding and proposal.

    Where the trail cannot be written the secret is not read, so nothing is sent.
    """

    def tell(binding: str, secret: str) -> None:
        said = {"binding": binding, "secret": secret}
        if not AuditEntry.objects.filter(object=obj, event=SECRET_READ, payload=said).exists():
            audit_append(event=SECRET_READ, actor="executor", obj=obj, payload=said)

    return tell

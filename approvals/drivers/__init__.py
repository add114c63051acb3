"""Ways to write to a plant. Only `approvals.execution` may import from here; CI checks it.

A new one is a file beside these, a line in `DRIVERS` and its settings' schema in
`approvals/driver_settings.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple

from django.conf import settings

from approvals.drivers.base import Driver, Secret, nobody
from approvals.drivers.modbus import ModbusDriver
from approvals.drivers.plant import PlantDriver
from approvals.drivers.redfish import RedfishDriver
from approvals.drivers.webhook import WebhookDriver
from approvals.models import DriverBinding

DRIVERS: dict[str, type[Driver]] = {
    driver.name: driver for driver in (PlantDriver, WebhookDriver, ModbusDriver, RedfishDriver)
}


class Bound(NamedTuple):
    """The driver of a point. `binding` is '' for the default; `is_dry_run`: it must not write."""

    driver: Driver
    binding: str
    is_dry_run: bool


def driver_for(
    tag: str,
    *,
    on_secret: Callable[[str, str], None] | None = None,
    asked_to_stop: Callable[[], str] = nobody,
) -> Bound:
    """The driver of the first active binding, by priority and name, whose pattern fits the tag;
    the demo plant's where none does.

    `on_secret(binding, secret name)` is called before the driver reads its secret; `asked_to_stop`
    says who asked a waiting driver to stop.
    """
    for binding in DriverBinding.objects.filter(is_active=True).order_by("priority", "name"):
        if fnmatchcase(tag, binding.pattern):
            told = (
                None if on_secret is None else partial(on_secret, binding.name, binding.secret_name)
            )
            secret = Secret(settings.DRIVER_SECRETS.get(binding.secret_name, ""), told)
            driver = DRIVERS[binding.driver](binding.settings, secret, asked_to_stop=asked_to_stop)
            return Bound(driver, binding.name, binding.is_dry_run)
    return Bound(PlantDriver({}, asked_to_stop=asked_to_stop), "", is_dry_run=False)

"""Wire formats: one small file each. ``FORMATS`` is what ``ingest/asgi.py`` listens for."""

from facilities.ingest.formats.alertmanager import ALERTMANAGER
from facilities.ingest.formats.base import Format
from facilities.ingest.formats.companions import COMPANIONS
from facilities.ingest.formats.influx import INFLUX_V1, INFLUX_V2
from facilities.ingest.formats.native import NATIVE
from facilities.ingest.formats.otlp import OTLP
from facilities.ingest.formats.prometheus import PROMETHEUS
from facilities.ingest.formats.redfish import REDFISH

FORMATS: tuple[Format, ...] = (
    NATIVE,
    INFLUX_V2,
    INFLUX_V1,
    PROMETHEUS,
    OTLP,
    REDFISH,
    ALERTMANAGER,
)

__all__ = ["COMPANIONS", "FORMATS", "Format"]

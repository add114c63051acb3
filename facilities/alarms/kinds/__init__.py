"""Rule kinds by name. A new one: copy a file, name it here and in ``RuleKind``."""

from .anomaly import Anomaly
from .base import Kind
from .expression import ExpressionRule
from .quality import QualityFlag
from .rate import Rate
from .staleness import Staleness
from .threshold import Threshold

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (Threshold(), Rate(), Staleness(), QualityFlag(), Anomaly(), ExpressionRule())
}

__all__ = ["KINDS", "Kind"]

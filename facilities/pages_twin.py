"""Page: how well the twin follows the plant, what it estimates, what wears out, what sensors hide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from facilities.models import TwinFinding
from facilities.tracking import reads

SHOWN_POINTS: Final = 24
SHOWN_GAPS: Final = 24
SHOWN_ESTIMATES: Final = 24
CLOSED_DAYS: Final = 30
CHARTED: Final = ("rack.inlet_c", "hall.it_power_w", "crac.power_w", "gpu.temp_c")
INCIDENTS: Final = (
    ("unit lost", "A cooling unit is lost"),
    ("cooling lost", "All running units are lost"),
    ("load step", "All GPUs go to full load"),
)
Z_LOUD, Z_ODD = 4.0, 2.5


@require_safe
@login_required
def twin(request: HttpRequest) -> HttpResponse:
    """Accuracy by quantity, residuals (worst first), parameters, findings, sensors."""
    found = reads.status()
    followed = found.followed()
    for row in followed:
        row["tone"] = _tone(row["z"])
        row["width"] = round(min(abs(row["z"]) / Z_LOUD, 1.0) * 100)
    incident = request.GET.get("incident", "")
    if incident not in {name for name, _ in INCIDENTS}:
        incident = INCIDENTS[0][0]
    fitness = found.fitness()
    open_findings = list(reads.findings())
    closed = (
        TwinFinding.objects.select_related("asset", "point")
        .filter(closed_at__gte=datetime.now(UTC) - timedelta(days=CLOSED_DAYS))
        .order_by("-closed_at")[:10]
    )
    now = datetime.now(UTC)
    estimates = found.estimates()
    context: dict[str, Any] = {
        "nav": "twin",
        "status": found,
        "row": found.row,
        "fitness": fitness,
        "passed": sum(row["passed"] for row in fitness),
        "limits": reads.LIMITS["hourly"],
        "followed": followed[:SHOWN_POINTS],
        "followed_count": len(followed),
        "loud": sum(abs(row["z"]) >= Z_LOUD for row in followed),
        "estimates": estimates[:SHOWN_ESTIMATES],
        "estimates_count": len(estimates),
        "known": sum(row["known"] for row in estimates),
        "findings": [_finding(finding, now) for finding in open_findings],
        "closed": [_finding(finding, now) for finding in closed],
        "gaps": found.gaps()[:SHOWN_GAPS],
        "gaps_count": len(found.gaps()),
        "costs": found.costs(incident),
        "incident": incident,
        "incidents": INCIDENTS,
        "charts": _charts(followed),
    }
    return render(request, "facilities/twin.html", context)


def _tone(z: float) -> str:
    if abs(z) >= Z_LOUD:
        return "high"
    return "medium" if abs(z) >= Z_ODD else "neutral"


def _finding(finding: TwinFinding, now: datetime) -> dict[str, Any]:
    lead = None if finding.expected_at is None else (finding.expected_at - now).total_seconds()
    return {
        "row": finding,
        "lead": lead,
        "low": _seconds(finding.earliest_at, now),
        "high": _seconds(finding.latest_at, now),
        "percent": round(100 * finding.confidence, 1),
    }


def _seconds(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max((at - now).total_seconds(), 0.0)


def _charts(followed: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The most surprising point of each charted quantity: measured against predicted."""
    charts = []
    for quantity in CHARTED:
        kind, _, name = quantity.partition(".")
        for row in followed:
            if row["kind"] == kind and row["tag"].rpartition(".")[2] == name:
                charts.append({"tag": row["tag"], "unit": row["unit"]})
                break
    return charts

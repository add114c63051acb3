"""Page: the network, its jobs, and how the fault of a link spreads."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from facilities.api.network import NetworkSerializer
from facilities.network.picture import Picture, as_json, has_network, network_picture
from facilities.twin.site import SiteError

SHOWN_POINTS = 12
SHOWN_LOSSES = 12


@require_safe
@login_required
def network(request: HttpRequest) -> HttpResponse:
    """Map, jobs, single points of failure; ``?link=`` chooses a link, ``?capacity=`` what is left."""
    context: dict[str, Any] = {"nav": "network", "problem": "", "picture": None}
    if not has_network():
        return render(request, "facilities/network.html", context)
    try:
        picture = network_picture()
    except SiteError as error:
        context["problem"] = str(error)
        return render(request, "facilities/network.html", context)
    context |= {
        "picture": picture,
        "data": NetworkSerializer(as_json(picture)).data,
        "faulty": [link for link in picture.links if link.state != "ok"],
        "slow": [job for job in picture.jobs if job.is_slow],
        "assets": [link for link in picture.links if link.link],
        "weak": _weak(picture),
        "losses": [loss for loss in picture.losses if loss.worst >= 0.001][:SHOWN_LOSSES],
        "chosen": request.GET.get("link", "")[:150],
    }
    return render(request, "facilities/network.html", context)


def _weak(picture: Picture) -> list[dict[str, Any]]:
    """Single points: for each job and for management, cables that cut one server counted together."""
    found = []
    for item in [*picture.resilience, picture.management]:
        ends = [point for point in item.points if point.kind == "cable" and len(point.cut) == 1]
        rest = [point for point in item.points if point not in ends]
        found.append(
            {
                "name": item.name,
                "item": item,
                "points": rest[:SHOWN_POINTS],
                "more": max(0, len(rest) - SHOWN_POINTS),
                "cables": len(ends),
            }
        )
    return found

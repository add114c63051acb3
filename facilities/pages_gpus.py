"""Pages of GPUs and racks: which limit is in charge, the control loop, what is in a rack."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from facilities.gpus.loss import gpu_loss
from facilities.gpus.racks import SCALE_C, rack_view
from facilities.gpus.read import gpu_row, gpu_rows, matching
from facilities.models import Asset, Rack
from facilities.selectors import open_alarms
from facilities.twin.gpu.nvml import FIELDS, REASONS, THRESHOLDS
from facilities.twin.thermal.envelope import ENVELOPES

PAGE_SIZE: Final = 100


@require_safe
@login_required
def gpus(request: HttpRequest) -> HttpResponse:
    """Every GPU with its limit in charge, limited ones first."""
    search = request.GET.get("search", "").replace("\0", "").strip()
    limited = request.GET.get("limited") == "1"
    rows = gpu_rows()
    context = {
        "nav": "gpus",
        "search": search,
        "limited": limited,
        "total": len(rows),
        "held": sum(row.is_limited or row.is_lost for row in rows),
        "page": Paginator(matching(rows, search=search, limited=limited), PAGE_SIZE).get_page(
            request.GET.get("page")
        ),
    }
    return render(request, "facilities/gpus/list.html", context)


@require_safe
@login_required
def gpu(request: HttpRequest, tag: str) -> HttpResponse:
    """The control loop of one GPU, live."""
    try:
        found = gpu_row(tag=_clean(tag))
    except Asset.DoesNotExist:
        raise Http404(f"there is no GPU {tag}") from None
    device = found.device
    present = set(found.reasons)
    context: dict[str, Any] = {
        "nav": "gpus",
        "gpu": found,
        "device": device,
        "loss": gpu_loss(gpu=found, end=datetime.now(UTC)),
        "reasons": [
            {"bit": int(reason), "hex": f"0x{int(reason):x}", "row": row, "on": reason in present}
            for reason, row in REASONS.items()
        ],
        "thresholds": [
            (threshold, getattr(device, name)) for name, threshold in THRESHOLDS.items()
        ],
        "fields": [
            (field, getattr(found, name, None))
            for name, field in FIELDS.items()
            if hasattr(found, name)
        ],
        "device_json": {
            "max_op_c": device.max_op_c,
            "slowdown_c": device.slowdown_c,
            "shutdown_c": device.shutdown_c,
            "max_w": device.max_w,
            "max_clock_mhz": device.max_clock_mhz,
            "volts": device.volts,
            "reasons": [
                {"bit": int(reason), "label": row.label, "meaning": row.meaning}
                for reason, row in REASONS.items()
            ],
        },
        "alarms": open_alarms().filter(point__asset__tag=found.tag)[:10],
    }
    return render(request, "facilities/gpus/gpu.html", context)


@require_safe
@login_required
def rack(request: HttpRequest, tag: str) -> HttpResponse:
    """One rack: servers and GPUs as a grid, air, power, neighbours, alarms."""
    try:
        view = rack_view(tag=_clean(tag))
    except Rack.DoesNotExist:
        raise Http404(f"there is no rack {tag}") from None
    low, high = SCALE_C
    places = [one.tag for one in view.around]
    here = places.index(view.rack.tag)
    context = {
        "nav": "hall",
        "view": view,
        "scale": {"low": low, "high": high},
        "bands": [
            {
                "name": name,
                "x": (max(e.low_c, low) - low) / (high - low) * 100,
                "width": (min(e.high_c, high) - max(e.low_c, low)) / (high - low) * 100,
                "low_c": e.low_c,
                "high_c": e.high_c,
            }
            for name, e in ENVELOPES.items()
            if name in ("recommended", "A1")
        ],
        "inlet_x": _place(view.values.get("inlet_c")),
        "before": places[here - 1] if here else "",
        "after": places[here + 1] if here + 1 < len(places) else "",
    }
    return render(request, "facilities/gpus/rack.html", context)


def _place(value: float | None) -> float | None:
    """Place on the inlet scale, percent."""
    low, high = SCALE_C
    return None if value is None else min(max((value - low) / (high - low), 0.0), 1.0) * 100.0


def _clean(tag: str) -> str:
    """PostgreSQL takes no NUL; such a tag names nothing."""
    if "\0" in tag:
        raise Http404("there is nothing with this tag")
    return tag

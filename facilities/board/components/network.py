"""The network that readings come over: private or not, bandwidth, shape, medium, weak points."""

from __future__ import annotations

import ipaddress
from collections import Counter

from facilities.board.cells import Cell, Evidence, State, bits, share_state
from facilities.board.context import Context
from facilities.board.graph import network_shape, supply
from facilities.models import Source
from facilities.models.asset import LinkKind

KEY, TITLE = "network", "Network"
DECLARE = "Declare it in the facility file: links of kind network take attributes."


def cells(context: Context) -> list[Cell]:
    """Stability, performance, privacy, shape, medium, layer, management."""
    return [
        _stability(context),
        _performance(context),
        _private(context),
        _shape(context),
        _declared(context, "layer", "L2 / L3"),
        _declared(context, "medium", "Copper / optic"),
        _management(context),
    ]


def _stability(context: Context) -> Cell:
    found = supply(context.edges, context.kinds, LinkKind.NETWORK)
    if not found.consumers:
        return Cell(
            "stability", "Stability (24/7)", "unknown", State.UNKNOWN,
            "dominators of the graph of network links", "no network links are known",
            context.now, "Add links of kind network to the facility file.",
        )  # fmt: skip
    points = found.single_points
    return Cell(
        "stability",
        "Stability (24/7)",
        f"{found.redundant} of {found.consumers} devices survive any one other"
        if points
        else f"no single point of failure for {found.consumers} devices",
        State.OK if not points else State.ATTENTION,
        "a device is a single point of failure when every path to the core passes through it",
        f"{sum(1 for edge in context.edges if edge.kind == LinkKind.NETWORK)} network links",
        context.now,
        "" if not points else "Connect what hangs on one device to a second one.",
        tuple(Evidence(point.tag, f"/assets/{point.tag}/") for point in points[:4]),
        tuple(f"{point.tag} alone carries {', '.join(point.cuts[:6])}" for point in points[:6]),
    )


def _performance(context: Context) -> Cell:
    need = next(need for need in context.plan.needs if need.key == "bandwidth")
    used = context.flow.bytes_per_s * 8
    share = need.share
    state = State.UNKNOWN if share is None else State.OK if share <= 0.7 else State.ATTENTION
    return Cell(
        "performance",
        "Performance",
        f"{bits(used)} used, {need.needed_text} needed by the data list",
        state,
        f"bodies received a second; {need.how}",
        "source counters of the last ten minutes",
        context.flow.until or context.now,
        need.available_text if share is None else "",
        (Evidence("Capacity planner", "/requirements/plan/"),),
        () if share is None else (need.available_text,),
    )


def _private(context: Context) -> Cell:
    networks = Source.objects.filter(active=True).values_list("name", "allowed_networks")
    open_sources = [name for name, allowed in networks if not allowed]
    public = [
        name
        for name, allowed in networks
        if any(not ipaddress.ip_network(net, strict=False).is_private for net in allowed)
    ]
    total = len(networks)
    links = network_shape(context.edges, context.kinds).private
    closed = total - len(open_sources) - len(public)
    return Cell(
        "private",
        "Private network",
        "no sources" if not total else f"{closed} of {total} sources are tied to private networks",
        share_state(closed / total if total else None, ok=1.0, fail=-1.0),
        "allowed networks of active sources within private address ranges",
        "the sources; links declare private in their attributes",
        context.now,
        f"Give {', '.join(sorted(open_sources + public)[:5])} allowed networks."
        if open_sources or public
        else ""
        if total
        else "Create a source.",
        (Evidence("Sources", "/sources/"),),
        (f"links declared private: {links['true']}, not declared: {links['']}",),
    )


def _shape(context: Context) -> Cell:
    shape = network_shape(context.edges, context.kinds)
    known = shape.devices > 0
    return Cell(
        "topology",
        "Ring / star",
        f"{shape.topology}: {shape.devices} devices, {shape.links} links" if known else "unknown",
        State.UNKNOWN if not known else State.OK if shape.connected else State.FAIL,
        "shape of the graph of network links, ends taken away where switches are known",
        f"{shape.links} network links",
        context.now,
        "Add links of kind network to the facility file."
        if not known
        else ""
        if shape.connected
        else "The network falls into separate parts; a link is missing in the facility file.",
        (Evidence("Switches", "/points/?kind=leaf"),),
    )


def _declared(context: Context, name: str, title: str) -> Cell:
    shape = network_shape(context.edges, context.kinds)
    counts: Counter[str] = getattr(shape, name)
    total, unset = sum(counts.values()), counts[""]
    said = ", ".join(f"{count} {value}" for value, count in counts.most_common() if value)
    return Cell(
        name,
        title,
        said or "unknown",
        State.UNKNOWN if not total or unset == total else State.ATTENTION if unset else State.OK,
        f"attribute {name} of the network links",
        f"{total} network links, {unset} do not declare it",
        context.now,
        DECLARE if unset or not total else "",
        (Evidence("Data list", "/points/?kind=link"),),
    )


def _management(context: Context) -> Cell:
    shape = network_shape(context.edges, context.kinds)
    return Cell(
        "management",
        "Management network included",
        f"{shape.management} of {shape.declared} links carry management"
        if shape.management
        else "unknown",
        State.OK if shape.management else State.UNKNOWN,
        "network links with the attribute management",
        f"{shape.declared} network links of the facility file",
        context.now,
        "" if shape.management else DECLARE,
        (Evidence("Facility file", "/points/?kind=link"),),
    )

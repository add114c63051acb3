"""The requirements board: graph facts, cells that say how they know, the capacity planner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO

import networkx as nx
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.board.cells import State, bits, size
from facilities.board.components import read_board
from facilities.board.graph import Edge, network_shape, supply, topology_of
from facilities.board.planner import PlanInput, capacity_plan, present
from facilities.board.rates import flowing, read_rates
from facilities.models import AssetLink, CapacityMeasure, Source, SourceFlow

PAGES = (
    "/requirements/",
    "/requirements/plan/",
    "/api/v1/requirements/",
    "/api/v1/requirements/plan",
)
SIX = ["facility", "data_list", "converter", "network", "server", "software"]


def edges(*pairs: str, kind: str = "power") -> list[Edge]:
    ends = [pair.split(">") for pair in pairs]
    return [Edge(source, target, kind, {}) for source, target in ends]


KINDS = {"u": "utility", "g": "generator", "p": "pdu", "q": "pdu", "r": "rack", "s": "rack"}


def test_it_finds_what_hangs_on_one_device() -> None:
    found = supply(edges("u>p", "g>p", "p>r", "q>s", "u>q", "p>s"), KINDS, "power")
    assert (found.consumers, found.redundant) == (2, 1)
    assert [(p.tag, p.cuts) for p in found.single_points] == [("p", ("r",))]


def test_it_finds_a_device_that_everything_passes_through() -> None:
    found = supply(edges("u>p", "p>q", "p>r", "q>s", "r>s"), KINDS, "power")
    cuts = {point.tag: point.cuts for point in found.single_points}
    assert cuts == {"u": ("s",), "p": ("s",)}


def test_it_knows_no_single_point_of_a_dual_fed_rack() -> None:
    found = supply(edges("u>p", "g>q", "p>r", "q>r"), KINDS, "power")
    assert (found.consumers, found.redundant, found.single_points) == (1, 1, ())


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda p: p[0] < p[1])))
def test_it_agrees_with_taking_every_device_away(pairs: set[tuple[int, int]]) -> None:
    """A single point of failure is what disconnects a consumer from all sources when removed."""
    links = [Edge(f"n{a}", f"n{b}", "power", {}) for a, b in pairs]
    found = supply(links, {}, "power")
    graph = nx.DiGraph([(f"n{a}", f"n{b}") for a, b in pairs])
    roots = {node for node in graph if graph.in_degree(node) == 0}
    ends = {node for node in graph if graph.out_degree(node) == 0}
    expected = set()
    for gone in graph:
        rest = graph.subgraph(set(graph) - {gone})
        fed = set().union(*({r} | nx.descendants(rest, r) for r in roots - {gone}), set())
        expected |= {(gone, end) for end in ends - {gone} if end not in fed}
    assert {(p.tag, end) for p in found.single_points for end in p.cuts} == expected


@pytest.mark.parametrize(
    ("graph", "shape"),
    [
        (nx.cycle_graph(5), "ring"),
        (nx.star_graph(4), "star"),
        (nx.path_graph(4), "line"),
        (nx.balanced_tree(2, 2), "tree"),
        (nx.complete_graph(4), "full mesh"),
        (nx.ladder_graph(3), "mesh"),
        (nx.empty_graph(0), "none"),
        (nx.disjoint_union(nx.path_graph(2), nx.path_graph(2)), "separate parts"),
    ],
)
def test_it_names_the_shape_of_a_network(graph: nx.Graph, shape: str) -> None:
    assert topology_of(graph, {}) == shape


def test_it_sees_the_demo_network_as_leaf_spine(demo_facility: None) -> None:
    from facilities.board.graph import read_edges

    found, kinds = read_edges()
    shape = network_shape(found, kinds)
    assert shape.topology == "leaf–spine"
    assert shape.connected
    assert shape.medium == {"copper": 16, "optic": 18}
    assert shape.layer == {"l2": 16, "l3": 18}
    assert not shape.private[""]
    network = supply(found, kinds, "network")
    assert {point.tag for point in network.single_points} == {f"leaf-{n}" for n in range(1, 5)}
    power = supply(found, kinds, "power")
    assert (power.consumers, power.redundant) == (26, 26)


def test_it_shows_six_components_whose_cells_say_how(demo_facility: None) -> None:
    board = read_board()
    assert [part.key for part in board] == SIX
    for part in board:
        assert [cell.key for cell in part.cells[:2]] == ["stability", "performance"]
        assert len({cell.key for cell in part.cells}) == len(part.cells) >= 5
        for cell in part.cells:
            assert cell.value and cell.how and cell.basis and cell.at.tzinfo is not None
            if cell.state is not State.OK:
                assert cell.advice, (part.key, cell.key)


def test_it_computes_cells_from_the_configuration(demo_facility: None) -> None:
    cells = {(part.key, cell.key): cell for part in read_board() for cell in part.cells}
    assert cells["network", "topology"].value.startswith("leaf–spine")
    assert cells["network", "medium"].value == "18 optic, 16 copper"
    assert cells["data_list", "rate"].value.startswith("1,253 points")
    assert "626 readings/s" in cells["data_list", "rate"].value
    assert cells["facility", "stability"].state is State.UNKNOWN
    AssetLink.objects.filter(kind="network").update(attributes={})
    cells = {(part.key, cell.key): cell for part in read_board() for cell in part.cells}
    assert cells["network", "medium"].state is State.UNKNOWN
    assert "facility file" in cells["network", "medium"].advice


@pytest.mark.django_db
def test_it_stands_on_an_empty_installation() -> None:
    board = read_board()
    assert [part.key for part in board] == SIX
    assert all(part.state is not State.OK for part in board if part.key in ("facility", "network"))


@pytest.fixture
def flow(small_facility: None) -> Source:
    source = Source.objects.create(name="bms", token_hash="x" * 64, token_prefix="hp_x")
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    for minute in (1, 2):
        SourceFlow.objects.create(
            source=source, minute=end - timedelta(minutes=minute), requests=30, bytes=600_000,
            received=6_000, decoded=6_000, converted=6_000, stored=5_940, rejected=60,
            performance_s=594, transform_s=0.06, transfer_s=0.3,
        )  # fmt: skip
    return source


def test_it_measures_what_flows(flow: Source) -> None:
    found = flowing(now=datetime.now(UTC))
    assert found.readings_per_s == pytest.approx(100)
    assert found.bytes_per_s == pytest.approx(10_000)
    assert found.transform_us == pytest.approx(10)
    assert found.transfer_ms == pytest.approx(10)
    assert found.delay_s == pytest.approx(0.1)
    rates = read_rates()
    assert rates["wire_bytes"].value == pytest.approx(100)
    assert rates["wire_bytes"].measured
    assert not rates["copy_per_s"].measured


def test_it_plans_from_measured_rates(flow: Source) -> None:
    for name, value in (("ingest_us", 10.0), ("judge_us", 50.0), ("copy_per_s", 100_000.0)):
        CapacityMeasure.objects.create(
            name=name, value=value, unit="u", measured_at=datetime.now(UTC), how="test"
        )
    wanted = PlanInput(100_000, 10.0, 30, 60, 365)
    plan = capacity_plan(wanted=wanted)
    needs = {need.key: need for need in plan.needs}
    assert plan.readings_per_s == pytest.approx(10_000)
    # 10,000/s · 10 µs = 0.1 cores, judging 100,000 points in 100 s · 50 µs = 0.05; 70 % busy
    assert needs["cores"].needed == pytest.approx((0.1 + 0.05) / 0.7)
    assert needs["database"].share == pytest.approx(10_000 / 70_000)
    assert needs["bandwidth"].needed == pytest.approx(10_000 * 100 * 8)
    readings = 10_000 * 86_400 * 30 * plan.rates["disk_bytes"].value
    rollups = (100_000 * 1440 * 60 + 100_000 * 24 * 365) * plan.rates["rollup_bytes"].value
    assert needs["storage"].needed == pytest.approx(readings + rollups)
    assert plan.web_workers == 1
    first = plan.breaks_first
    assert first is not None
    assert first.share == max(need.share for need in plan.needs if need.share is not None)


@settings(max_examples=40, deadline=None)
@given(
    points=st.integers(1, 10**7),
    interval=st.floats(0.1, 3600),
    days=st.integers(1, 3000),
    more=st.floats(1.0, 50.0),
)
def test_it_never_needs_less_for_more(points: int, interval: float, days: int, more: float) -> None:
    from facilities.board import planner
    from facilities.board.rates import ASSUMED

    def needs(wanted: PlanInput) -> list[float]:
        per_s = wanted.points / wanted.interval_s
        return [
            planner._cores(wanted, per_s, dict(ASSUMED)).needed,
            planner._database(per_s, dict(ASSUMED)).needed,
            planner._memory(wanted).needed,
        ]

    few = needs(PlanInput(points, interval, days, days, days))
    many = needs(PlanInput(round(points * more), interval, days, days, days))
    assert all(b >= a * 0.999 for a, b in zip(few, many, strict=True))


@pytest.mark.django_db
def test_it_refuses_an_impossible_plan() -> None:
    for wanted in (PlanInput(0, 1, 1, 1, 1), PlanInput(1, float("nan"), 1, 1, 1)):
        with pytest.raises(ValueError, match="must be above 0"):
            capacity_plan(wanted=wanted)


def test_it_prints_a_plan_and_measures(flow: Source) -> None:
    out = StringIO()
    call_command("plan_capacity", "--points", "50000", "--interval-s", "5", "--measure", stdout=out)
    text = out.getvalue()
    assert "50,000 points every 5 s = 10,000 readings/s" in text
    assert "breaks" in text
    measures = {m.name: m for m in CapacityMeasure.objects.all()}
    assert set(measures) == {"copy_per_s", "commit_ms", "check_us", "judge_us", "ingest_us"}
    assert measures["copy_per_s"].value > 10_000
    assert 0.01 < measures["check_us"].value < 5
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM facilities_reading")
        assert cursor.fetchone()[0] == 0
    with pytest.raises(CommandError, match="does not fit"):
        call_command(
            "plan_capacity", "--points", "90000000", "--interval-s", "1", "--check", stdout=out
        )
    with pytest.raises(CommandError, match="whole number"):
        call_command("plan_capacity", "--points", "many", stdout=out)


def test_it_starts_from_the_present_data_list(demo_facility: None) -> None:
    base = present()
    assert (base.points, base.interval_s) == (1253, pytest.approx(2.0))


@pytest.mark.parametrize("path", PAGES)
def test_it_is_for_people_who_are_signed_in(
    path: str, demo_facility: None, viewer, operator, supervisor, client_as: Callable[..., Client]
) -> None:
    assert Client().get(path).status_code in (302, 401, 403)
    for user in (viewer, operator, supervisor):
        assert client_as(user).get(path).status_code == 200


def test_it_answers_the_same_board_by_api_and_page(
    demo_facility: None, viewer, client_as: Callable[..., Client], django_assert_max_num_queries
) -> None:
    client = client_as(viewer)
    with django_assert_max_num_queries(48):
        found = client.get("/api/v1/requirements/").json()
    page = client.get("/requirements/").content.decode()
    for part in found:
        assert part["title"] in page
        for cell in part["cells"]:
            assert f'id="{part["key"]}-{cell["key"]}"' in page


def test_it_plans_by_api_and_page(
    demo_facility: None, viewer, client_as: Callable[..., Client]
) -> None:
    client = client_as(viewer)
    found = client.get("/api/v1/requirements/plan?points=20000&interval_s=4").json()
    assert found["readings_per_s"] == 5000
    assert found["breaks_first"] in {need["key"] for need in found["needs"]}
    assert client.get("/api/v1/requirements/plan?points=-1").status_code == 400
    assert client.get("/api/v1/requirements/plan?points=x").json()["code"]
    page = client.get("/requirements/plan/?points=20000&interval_s=4")
    assert "5,000 readings/s" in page.content.decode()
    assert client.get("/requirements/plan/?points=0").status_code == 400


def test_it_writes_sizes_and_rates_for_people() -> None:
    assert size(1.5e9) == "1.5 GB"
    assert bits(2_500) == "2.5 kbit/s"

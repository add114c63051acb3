"""Jobs on a fabric: routes, step times, monotonicity, readings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.twin.drive import Drive
from facilities.twin.network import Network, NetworkConstants
from facilities.twin.network.routing import Pairs, route
from facilities.twin.network.topology import Fabric
from facilities.twin.read import multiplied, read_site
from facilities.twin.site import SiteError

from .fabrics import EXACT, job, leaf_spine

ALL = ("s0", "s1", "s2", "s3")


@pytest.fixture(scope="module")
def demo():
    return Network(read_site())


def with_link(network, link, capacity, members=1):
    drive = Drive(network.site, members=members)
    drive.set(link, "capacity", capacity)
    return drive


def one_pair(site, source, target, *, down=(), weights=None):
    fabric = Fabric(site)
    up = np.ones(fabric.arcs, bool)
    for link in down:
        edge = fabric.edge_of_link[site.locate(link).row]
        up[[2 * edge, 2 * edge + 1]] = False
    pairs = Pairs(
        np.array([fabric.node[source]]), np.array([fabric.node[target]]), np.array([0]), np.ones(1)
    )
    routes = route(fabric, up, pairs, 1, ecmp_excess=0.2, weights=weights)
    load = routes.load.toarray()[0]
    return {fabric.label(int(arc)): load[arc] for arc in np.nonzero(load)[0]}, routes


def test_it_spreads_evenly_over_the_spines():
    load, routes = one_pair(leaf_spine(spines=4), "s0", "s2")
    assert load.pop("s0 to leaf-0") == load.pop("leaf-1 to s2") == 1.0
    assert len(load) == 8
    assert set(load.values()) == {0.25}
    worst = routes.worst.toarray()[0]
    assert sorted(set(worst[worst > 0].round(9))) == [0.3, 1.0]  # hashing is uneven where split


def test_it_keeps_neighbours_off_the_spines():
    assert one_pair(leaf_spine(), "s0", "s1")[0] == {"s0 to leaf-0": 1.0, "leaf-0 to s1": 1.0}


def test_it_routes_around_a_link_that_is_down_and_knows_when_it_cannot():
    load, _ = one_pair(leaf_spine(), "s0", "s2", down=["l0-0"])
    assert load["l0-1 towards spine-1"] == 1.0
    assert "l1-0 towards leaf-1" not in load
    load, routes = one_pair(leaf_spine(), "s0", "s2", down=["l0-0", "l1-1"])
    assert load == {}
    assert routes.blocked[0]


def test_it_does_not_route_through_a_server_with_two_ports():
    site = leaf_spine()
    extra = type(site.links[0])("s0", "leaf-1", "network", {"capacity_gbps": 400})
    site = type(site)(site.assets, (*site.links, extra))
    load, routes = one_pair(site, "s1", "s2", down=["l0-0", "l0-1"])
    assert routes.blocked[0]
    assert load == {}
    # its own traffic takes the nearer port
    assert one_pair(site, "s0", "s2")[0] == {"s0 to leaf-1": 1.0, "leaf-1 to s2": 1.0}


def test_it_shares_by_bandwidth_with_adaptive_routing():
    site = leaf_spine()
    fabric = Fabric(site)
    weights = fabric.rated_gbps.copy()
    edge = fabric.edge_of_link[site.locate("l1-0").row]
    weights[[2 * edge, 2 * edge + 1]] *= 0.5  # behind spine-0 only half is left
    load, _ = one_pair(site, "s0", "s2", weights=weights)
    assert load["l0-0 towards spine-0"] == pytest.approx(1 / 3)
    assert load["l0-1 towards spine-1"] == pytest.approx(2 / 3)


@settings(max_examples=30, deadline=None)
@given(
    leaves=st.integers(2, 4),
    spines=st.integers(1, 4),
    servers=st.integers(1, 3),
    down=st.sets(st.integers(0, 15), max_size=4),
    data=st.data(),
)
def test_it_loses_no_traffic_at_a_switch(leaves, spines, servers, down, data):
    site = leaf_spine(leaves=leaves, spines=spines, servers=servers)
    names = list(site.tags("server"))
    a, b = data.draw(st.permutations(names))[:2] if len(names) > 1 else (names[0], names[0])
    links = [tag for number, tag in enumerate(site.tags("link")) if number in down]
    fabric = Fabric(site)
    _, routes = one_pair(site, a, b, down=links)
    load = routes.load.toarray()[0]
    into = np.bincount(fabric.head, load, len(fabric.nodes))
    out = np.bincount(fabric.tail, load, len(fabric.nodes))
    expected = np.zeros(len(fabric.nodes))
    if not routes.blocked[0]:
        expected[fabric.node[a]], expected[fabric.node[b]] = 1, -1
    assert out - into == pytest.approx(expected, abs=1e-9)


def test_it_takes_the_step_that_a_hand_calculation_gives():
    # 4 servers, 10 GB: ring 2 x 3/4 x 10 GB at 50 GB/s = 0.3 s between the servers; half is hidden
    site = leaf_spine(jobs=[job(*ALL, allreduce_gb=10.0, overlap=0.5)])
    network = Network(site, EXACT)
    state = network.initial(Drive(site))
    assert state.step_time_s[0, 0] == pytest.approx(1.15)
    assert state.exposed[0, 0] == pytest.approx(0.15 / 1.15)
    # one hop of the ring crosses each way: 15 GB in 1.15 s over two spines
    assert state.link_gbps[0] == pytest.approx(np.full(4, 15 * 8 / 1.15 / 2))


def test_it_hides_no_more_than_the_backward_pass_lasts():
    site = leaf_spine(jobs=[job(*ALL, allreduce_gb=100.0, overlap=1.0)])
    state = Network(site, EXACT).initial(Drive(site))
    assert state.step_time_s[0, 0] == pytest.approx(1.0 + 3.0 - 2 / 3)


def test_it_runs_a_ring_at_its_slowest_link():
    site = leaf_spine(spines=1, jobs=[job(*ALL, allreduce_gb=10.0)])
    network = Network(site, EXACT)
    healthy = network.initial(Drive(site)).step_time_s[0, 0]
    half = with_link(network, "l0-0", 0.5)
    state = network.initial(half)
    # 0.3 s becomes 0.6 s although one of four hops' links is slow
    assert state.step_time_s[0, 0] - healthy == pytest.approx(0.3)
    arc = network.solution(state, half).bottleneck[0, 0]
    assert network.fabric.label(arc).startswith("l0-0")


def test_it_writes_checkpoints_and_reads_data_over_the_storage_path():
    storage = {"write_gb_s": 40.0, "read_gb_s": 60.0}
    site = leaf_spine(
        jobs=[job(*ALL, checkpoint_gb=400.0, checkpoint_every_s=100.0)], storage=storage
    )
    state = Network(site, EXACT).initial(Drive(site))
    # 100 GB/s of links into the store, 40 GB/s of the store itself: 10 s in every 100 s
    assert state.step_time_s[0, 0] == pytest.approx(1.0 * 1.1)
    site = leaf_spine(jobs=[job(*ALL, data_gb=120.0)], storage=storage)
    assert Network(site, EXACT).initial(Drive(site)).step_time_s[0, 0] == pytest.approx(2.0)
    site = leaf_spine(
        spines=1, jobs=[job(*ALL, checkpoint_gb=400.0, checkpoint_every_s=100.0)], storage=storage
    )
    network = Network(site, EXACT)
    # a quarter of an uplink is slower than the store: 200 GB at 12.5 GB/s
    state = network.initial(with_link(network, "l0-0", 0.25))
    assert state.step_time_s[0, 0] == pytest.approx(1.16)
    down = network.initial(with_link(network, "l0-0", 0.0))
    assert down.running[0, 0] == 0  # a checkpoint cannot be written


def test_it_slows_a_synchronous_job_to_its_slowest_gpu(demo):
    speed = np.ones((1, 128))
    speed[0, 35] = 0.5
    state = demo.settled(Drive(demo.site), gpu_speed=speed)
    before = demo.initial(Drive(demo.site))
    # 1.1 s of compute become 2.2 s; more communication hides behind it
    assert state.step_time_s[0, 0] == pytest.approx(before.step_time_s[0, 0] + 1.1, rel=0.05)
    assert state.step_time_s[0, 1:] == pytest.approx(before.step_time_s[0, 1:])
    # the slow one works all the time, those that wait for it do less
    assert state.gpu_util[0, 35] > before.gpu_util[0, 35] + 0.05
    assert state.gpu_util[0, 0] < before.gpu_util[0, 0] - 0.05


def test_it_slows_only_the_server_of_a_slow_gpu_in_inference(demo):
    gpu = demo.site.locate("srv-14-gpu-2").row
    speed = np.ones((1, 128))
    speed[0, gpu] = 0.5
    state = demo.settled(Drive(demo.site), gpu_speed=speed)
    assert 0.85 < state.throughput[0, 2] < 0.90  # one of four servers at about half


def test_it_stops_a_job_that_lost_a_gpu_until_the_server_is_drained(demo):
    drive = Drive(demo.site)
    speed = np.ones((1, 128))
    speed[0, 3] = 0.0
    state = demo.settled(drive, gpu_speed=speed)
    assert state.running[0].tolist() == [0, 1, 1]
    assert state.step_time_s[0, 0] == 600
    assert state.gpu_util[0, 3] == 0
    assert 0 < state.gpu_util[0, 0] < 0.5  # the others spin in the collective
    drive.set("srv-01", "in_service", 0.0)
    state = demo.settled(drive, gpu_speed=speed)
    assert state.running[0, 0] == 1
    assert state.throughput[0, 0] == pytest.approx(7 / 8, abs=0.01)
    assert state.gpu_util[0, :8].max() == 0


def test_it_pauses_a_job(demo):
    drive = Drive(demo.site)
    drive.set("job-1", "demand", 0.0)
    state = demo.initial(drive)
    assert state.running[0].tolist() == [0, 1, 1]
    assert state.gpu_util[0, :64].max() == 0
    assert state.link_gbps[0, 0] == 0


@settings(max_examples=40, deadline=None)
@given(
    link=st.integers(0, 7),
    shares=st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)),
    other=st.integers(0, 7),
    rest=st.floats(0.1, 1.0),
)
def test_it_never_speeds_a_job_up_by_taking_bandwidth(demo, link, shares, other, rest):
    drive = Drive(demo.site, members=2)
    drive["link", "capacity"][:, other] = rest
    drive["link", "capacity"][:, link] = max(shares), min(shares)
    state = demo.initial(drive)
    assert (state.step_time_s[1] >= state.step_time_s[0] - 1e-12).all()
    assert (state.gpu_util[1] <= state.gpu_util[0] + 1e-12).all()
    assert (state.link_gbps <= state.link_capacity_gbps + 1e-9).all()


@settings(max_examples=30, deadline=None)
@given(speeds=st.lists(st.floats(0.1, 1.0), min_size=3, max_size=3), gpu=st.integers(0, 127))
def test_it_never_speeds_a_job_up_by_slowing_a_gpu(demo, speeds, gpu):
    speed = np.ones((3, 128))
    speed[:, gpu] = sorted(speeds, reverse=True)
    state = demo.settled(Drive(demo.site, members=3), gpu_speed=speed)
    assert (np.diff(state.step_time_s, axis=0) >= -1e-12).all()


def test_it_solves_each_member_as_if_it_were_alone(demo):
    rng = np.random.default_rng(3)
    drive = Drive(demo.site, members=5)
    drive["link", "capacity"][:] = rng.uniform(0.1, 1, drive["link", "capacity"].shape)
    drive["link", "enabled"][1, 2] = 0
    drive["server", "in_service"][3, 4] = 0
    speed = rng.uniform(0.4, 1, (5, 128))
    p = NetworkConstants().drawn(5, rng)
    together = Network(demo.site, p).settled(drive, gpu_speed=speed)
    for member in range(5):
        alone = Drive(demo.site)
        for key, value in drive.values.items():
            alone.values[key] = value[member : member + 1].copy()
        own = p.replaced(
            **{
                name: getattr(p, name)[member : member + 1]
                for name in ("nvlink_gb_s", "fabric_share", "spin_share")
            }
        )
        state = Network(demo.site, own).settled(alone, gpu_speed=speed[member : member + 1])
        for name, value in state.to_arrays().items():
            assert value[0] == pytest.approx(together.to_arrays()[name][member]), name


def test_it_costs_next_to_nothing_when_nothing_changes(demo):
    drive = Drive(demo.site)
    state = demo.initial(drive)
    before = state.step_time_s
    demo.step(state, drive, gpu_speed=np.ones((1, 128)), dt_s=5.0)
    assert state.step_time_s is before  # the memo's own array, nothing was worked out
    drive.set("link-leaf-2-spine-1", "capacity", 0.1)
    demo.step(state, drive, gpu_speed=np.ones((1, 128)), dt_s=5.0)
    assert state.step_time_s[0, 0] > before[0, 0] * 2


def test_it_sees_what_a_link_has_left_in_its_readings(demo):
    drive = Drive(demo.site)
    drive.set("link-leaf-2-spine-1", "capacity", 0.3)
    truth = demo.initial(drive)
    links = demo.site.count("link")
    errors, up = np.full((1, links), 0.1), np.ones((1, links))
    row = demo.site.locate("link-leaf-2-spine-1").row
    errors[0, row] = 80.0
    seen = demo.initial(Drive(demo.site))
    util = 100 * truth.link_gbps / truth.link_capacity_gbps
    demo.observe(
        seen, {("link", "util_pct"): util, ("link", "error_rate"): errors, ("link", "up"): up}
    )
    assert seen.link_health[0, row] == pytest.approx(0.3, abs=0.03)
    demo.step(seen, Drive(demo.site), gpu_speed=np.ones((1, 128)), dt_s=5.0)
    assert seen.throughput[0, 0] == pytest.approx(truth.throughput[0, 0], abs=0.03)
    # a link that reports to be down is down; without readings everything is as new
    up[0, row] = 0
    demo.observe(seen, {("link", "up"): up})
    assert seen.link_health[0, row] == 0
    demo.observe(seen, {})
    assert (seen.link_health == 1).all()


def test_it_takes_what_no_job_explains_as_background(demo):
    links = demo.site.count("link")
    state = demo.initial(Drive(demo.site))
    expected = state.link_gbps.copy()
    util = 100 * expected / 400
    util[0, 2] += 20.0  # where no ring crosses, it cannot be a badly ordered one
    demo.observe(state, {("link", "util_pct"): util})
    background = np.zeros(links)
    background[2] = 80.0
    assert state.background_gbps[0] == pytest.approx(background, abs=1e-6)
    demo.step(state, Drive(demo.site), gpu_speed=np.ones((1, 128)), dt_s=5.0)
    assert demo.values(state, Drive(demo.site))["link", "util_pct"][0] == pytest.approx(util[0])


def test_it_sees_it_without_a_neighbour_too():
    site = leaf_spine(spines=1, jobs=[job("s0", "s1", "s2", "s3", allreduce_gb=10.0)])
    network = Network(site, EXACT)
    truth = network.initial(with_link(network, "l0-0", 0.4))
    seen = network.initial(Drive(site))
    util = 100 * truth.link_gbps / truth.link_capacity_gbps
    readings = {("link", "util_pct"): util, ("link", "error_rate"): np.array([[50.0, 0.1]])}
    network.observe(seen, readings)
    assert seen.link_health[0] == pytest.approx([0.4, 1.0], abs=0.03)


def test_it_learns_how_often_rings_cross_the_spines(demo):
    drive = Drive(demo.site)
    truth = demo.settled(drive, crossings=np.full((1, 1), 2.0))
    assert truth.link_gbps[0, 0] > demo.initial(drive).link_gbps[0, 0] * 1.5
    util = 100 * truth.link_gbps / truth.link_capacity_gbps
    state = demo.initial(drive)
    demo.observe(state, {("link", "util_pct"): util})
    assert state.crossings[0, 0] == pytest.approx(2.0, rel=0.02)
    assert np.abs(state.background_gbps).max() < 2.0
    # a link at half then hurts more than with servers in order
    half = with_link(demo, "link-leaf-2-spine-1", 0.5)
    demo.step(state, half, gpu_speed=np.ones((1, 128)), dt_s=5.0)
    assert state.throughput[0, 0] < demo.initial(half).throughput[0, 0] - 0.05
    # a job that rests teaches nothing
    demo.observe(state, {("link", "util_pct"): util * 0.0})
    assert state.crossings[0, 0] == pytest.approx(2.0, rel=0.02)


def test_it_tells_the_demand_that_explains_a_utilisation(demo):
    drive = with_link(demo, "link-leaf-2-spine-1", 0.1)
    drive["gpu", "demand"][:] = 0.7
    state = demo.initial(drive)
    assert demo.demanded(state, state.gpu_util) == pytest.approx(np.full((1, 128), 0.7))


def test_it_works_without_jobs_links_or_servers():
    bare = leaf_spine(leaves=1, spines=0)
    state = Network(bare).initial(Drive(bare))
    assert state.gpu_util.tolist() == [[0.8, 0.8]]
    empty = type(bare)([], [])
    assert Network(empty).initial(Drive(empty)).gpu_util.shape == (1, 0)


def test_it_gives_copies_of_a_site_the_same_answer():
    site = read_site()
    state = Network(multiplied(site, 3)).initial(Drive(multiplied(site, 3)))
    one = Network(site).initial(Drive(site))
    assert state.step_time_s[0] == pytest.approx(np.tile(one.step_time_s[0], 3))
    assert state.link_gbps[0] == pytest.approx(np.tile(one.link_gbps[0], 3))


def test_it_names_both_sides_of_a_bad_job():
    with pytest.raises(SiteError, match="s0 is in job-0 and in job-1"):
        Network(leaf_spine(jobs=[job("s0"), job("s0", "s1")]))
    with pytest.raises(SiteError, match="job job-0 names leaf-0 among its servers"):
        Network(leaf_spine(jobs=[job("leaf-0")]))
    with pytest.raises(SiteError, match="algorithm 'star' is not one of ring, tree, auto"):
        Network(leaf_spine(jobs=[job("s0", algorithm="star")]))

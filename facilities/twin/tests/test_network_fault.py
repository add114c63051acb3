"""How a fault spreads, who is to blame, what helps, and what is a single point of failure."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from facilities.twin.drive import Drive
from facilities.twin.network import Network
from facilities.twin.network.blame import blame
from facilities.twin.network.redundancy import (
    job_resilience,
    management_resilience,
    shape_of,
    single_failures,
    single_points,
)
from facilities.twin.network.remedies import Fault, remedies
from facilities.twin.network.spread import spread
from facilities.twin.read import read_site
from facilities.twin.site import AssetRecord, LinkRecord, Site, SiteError

from .fabrics import EXACT, job, leaf_spine

LINK = "link-leaf-2-spine-1"


@pytest.fixture(scope="module")
def demo():
    return Network(read_site())


@pytest.fixture
def now(demo):
    drive = Drive(demo.site)
    return demo.initial(drive), drive, np.ones((1, demo.site.count("gpu")))


def test_it_spreads_from_a_link_to_the_job_that_crosses_it(demo, now):
    state, drive, speed = now
    found = spread(demo, state, drive, link=LINK, capacity=0.25, gpu_speed=speed)
    hit, *others = found.jobs
    assert hit.affected
    assert not any(other.affected for other in others)
    assert hit.bottleneck_before == "leaf-1 to srv-01"  # its own port, which takes its data too
    assert hit.bottleneck.startswith(LINK)
    # a quarter of 388 Gb/s, less half of four servers' 12 Gb/s of data; the ring's fuller path has
    # 0.598 of it
    assert hit.between_gbps == pytest.approx((97 - 24) / 0.598, rel=0.01)
    assert hit.slowdown == pytest.approx(hit.step_s / hit.step_s_before, rel=1e-6)
    assert hit.waiting_gpus == pytest.approx(
        (found.gpu_util_before - found.gpu_util).sum(), rel=1e-6
    )
    # less of everything on the other links of the job
    loads = {link.link: link for link in found.links}
    assert loads["link-leaf-1-spine-1"].load < loads["link-leaf-1-spine-1"].load_before
    assert loads[LINK].util > loads[LINK].util_before


def test_it_stops_a_job_whose_collectives_would_run_into_their_watchdog(demo, now):
    state, drive, speed = now
    found = spread(demo, state, drive, link=LINK, capacity=1e-6, gpu_speed=speed)
    stopped = found.jobs[0]
    assert not stopped.running
    assert stopped.step_s == demo.parameters.stalled_s == 600
    assert found.jobs[1].running


def test_it_refuses_the_fault_of_what_is_no_link(demo, now):
    state, drive, speed = now
    with pytest.raises(SiteError, match="srv-01 is a server"):
        spread(demo, state, drive, link="srv-01", capacity=0.5, gpu_speed=speed)


def test_it_blames_a_lone_cause_for_all_and_several_by_removal(demo, now):
    state, drive, speed = now
    drive.set(LINK, "capacity", 0.2)
    found = {one.job: one for one in blame(demo, state, drive, speed)}
    assert [(c.asset, round(c.share, 6)) for c in found["job-1"].causes] == [(LINK, 1.0)]
    assert found["job-2"].causes == ()
    assert found["job-2"].slowdown == pytest.approx(1.0)
    slow = speed.copy()
    slow[0, 3] = 0.6
    both = {one.job: one for one in blame(demo, state, drive, slow)}["job-1"]
    assert {cause.asset for cause in both.causes} == {LINK, "srv-01-gpu-3"}
    assert 0 < sum(cause.share for cause in both.causes) <= 1.0 + 1e-6
    assert sum(c.share for c in both.causes) + both.together == pytest.approx(1.0, abs=1e-6)
    assert both.slowdown > found["job-1"].slowdown


def test_it_blames_a_lost_gpu_for_a_job_that_stands_still(demo, now):
    state, drive, speed = now
    speed[0, 70] = 0.0
    found = {one.job: one for one in blame(demo, state, drive, speed)}["job-2"]
    assert found.slowdown == float("inf")
    assert found.causes[0].asset == "srv-09-gpu-6"
    assert found.causes[0].share == pytest.approx(1.0)


def test_it_ranks_what_helps_against_a_quarter_of_a_link(demo, now):
    state, drive, speed = now
    found = remedies(Fault(demo, state, drive, speed, LINK, 0.25))
    by_key = {remedy.key: remedy for remedy in found}
    assert {"adaptive", "disable", "repair", "swap", "accumulate", "drain", "tree"} <= set(by_key)
    assert [r.work for r in found] == sorted((r.work for r in found), reverse=True)
    # one free spine carries the ring's 400 Gb/s: rerouting costs nothing and gives nearly all back
    assert by_key["disable"].helps
    assert by_key["disable"].regained == pytest.approx(0.97, abs=0.02)
    assert by_key["disable"].interruption_s == 0
    # going on with half the servers is worse than a slow link
    assert not by_key["drain"].helps
    # moving off the link heals the job, and its restart costs more than an hour of it wins
    assert by_key["swap"].regained == pytest.approx(1.0, abs=0.02)
    assert not by_key["swap"].helps


def test_it_does_not_offer_to_disable_the_only_way():
    site = leaf_spine(spines=1, jobs=[job("s0", "s1", "s2", "s3", allreduce_gb=10.0)])
    network = Network(site, EXACT)
    drive = Drive(site)
    fault = Fault(network, network.initial(drive), drive, np.ones((1, 4)), "l0-0", 0.5)
    by_key = {remedy.key: remedy for remedy in remedies(fault)}
    assert not by_key["disable"].helps
    assert by_key["disable"].pace == 0
    # halving what is sent gives the time back, against the job's own healthy pace
    assert by_key["accumulate"].pace == pytest.approx(1.0, abs=1e-6)


def test_it_finds_single_points_of_known_graphs():
    barbell = nx.Graph()
    for a, b in [("a", "x"), ("b", "x"), ("x", "y"), ("y", "c"), ("y", "d")]:
        barbell.add_edge(a, b, names=[f"{a}{b}"], link=a == "x", capacity=1.0)
    found = single_points(barbell, ["a", "b", "c", "d"])
    assert {(p.kind, p.asset): len(p.cut) for p in found} == {
        ("device", "x"): 2,  # c and d stay together
        ("device", "y"): 2,
        ("link", "xy"): 2,
        ("cable", "ax"): 1,
        ("cable", "bx"): 1,
        ("cable", "yc"): 1,
        ("cable", "yd"): 1,
    }
    ring = nx.Graph()
    for a, b in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]:
        ring.add_edge(a, b, names=[a + b], link=True, capacity=1.0)
    assert single_points(ring, ["a", "b", "c", "d"]) == []


def test_it_finds_the_single_points_of_the_demo_site(demo):
    found = {one.name: one for one in job_resilience(demo)}
    points = {(point.kind, point.asset): point.cut for point in found["job-1"].points}
    assert points["device", "leaf-1"] == ("srv-01", "srv-02", "srv-03", "srv-04")
    assert points["cable", "srv-05 to leaf-2"] == ("srv-05",)
    assert not any(kind == "link" for kind, _ in points)  # two spines
    assert found["job-1"].disjoint_paths == 2
    assert found["job-1"].cut_gbps == 800
    management = management_resilience(demo.fabric)
    assert ("device", "leaf-3") in {(p.kind, p.asset) for p in management.points}


def test_it_finds_the_lone_spine():
    network = Network(leaf_spine(spines=1, jobs=[job("s0", "s2", allreduce_gb=1.0)]), EXACT)
    (found,) = job_resilience(network)
    assert {("device", "spine-0"), ("link", "l0-0"), ("link", "l1-0")} <= {
        (point.kind, point.asset) for point in found.points
    }
    assert found.disjoint_paths == 1
    losses = single_failures(network, Drive(network.site))
    assert {loss.link: loss.worst for loss in losses} == {"l0-0": 1.0, "l1-0": 1.0}


def test_it_names_the_shape_of_the_switches():
    def fabric(*pairs):
        tags = dict.fromkeys(tag for pair in pairs for tag in pair)
        assets = [AssetRecord(tag, "switch") for tag in tags]
        return Network(Site(assets, [LinkRecord(a, b, "network", {}) for a, b in pairs])).fabric

    assert shape_of(Network(leaf_spine()).fabric) == "leaf–spine"
    assert shape_of(fabric("ab", "bc", "cd", "da")) == "ring"
    assert shape_of(fabric("xa", "xb", "xc")) == "star"
    assert shape_of(fabric("ab", "bc", "cd", "da", "ac")) == "mesh"

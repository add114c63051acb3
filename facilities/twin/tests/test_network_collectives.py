"""Links, collectives and shares: hand-worked and published figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from facilities.twin.network import NetworkConstants
from facilities.twin.network.collectives import (
    LinkPace,
    all_to_all_hops,
    bus_factor,
    hierarchical_time_s,
    quicker,
    ring_hops,
    ring_time_s,
    tree_hops,
    tree_time_s,
)
from facilities.twin.network.links import LINK_KINDS, gb_s_of, gbps_of
from facilities.twin.network.sharing import max_min

GIB_IN_GB = 2**30 / 1e9
ALPHA_S = 936.25e-9


@pytest.mark.parametrize(("gb_s", "ms"), [(400.0, 4.71), (48.5, 38.8), (48.5 / 2, 77.5)])
def test_it_reduces_a_gibibyte_over_eight_ranks_as_worked_by_hand(gb_s, ms):
    # style_twin.md B4: NVLink of an HGX H100, a 400 Gb/s NIC, and a NIC where one link halves
    found = ring_time_s("all_reduce", 8, GIB_IN_GB, gb_s, ALPHA_S)
    assert found * 1e3 == pytest.approx(ms, rel=0.002)


@pytest.mark.parametrize(
    ("operation", "factor"),
    [
        ("all_reduce", 1.75),
        ("reduce_scatter", 0.875),
        ("all_gather", 0.875),
        ("all_to_all", 0.875),
        ("broadcast", 1.0),
    ],
)
def test_it_has_the_bus_bandwidth_factors_of_nccl_tests(operation, factor):
    assert bus_factor(operation, 8) == pytest.approx(factor)
    # busbw = algbw x factor must be the link's bandwidth when latency is nothing
    seconds = ring_time_s(operation, 8, 1.0, 48.5, 0.0)
    assert 1.0 / seconds * factor == pytest.approx(48.5)


def test_it_sends_nothing_with_one_rank():
    assert ring_time_s("all_reduce", 1, 5.0, 48.5, 1e-6) == 0
    assert tree_time_s(1, 5.0, 48.5, 1e-6) == 0
    assert ring_hops(1) == tree_hops(1) == all_to_all_hops(1) == []


def test_it_keeps_bits_and_bytes_apart():
    assert gb_s_of(400) == 50
    assert gbps_of(gb_s_of(400)) == 400
    # 1 GB between two servers over 400 Gb/s each way: half goes each way twice, 1 GB at 50 GB/s
    assert ring_time_s("all_reduce", 2, 1.0, gb_s_of(400), 0.0) == pytest.approx(0.02)


def test_it_has_the_usable_bandwidths_of_published_simulators():
    assert LINK_KINDS["nvlink4"].usable_gb_s == pytest.approx(400)  # astra-sim HGX-H100 validated
    assert LINK_KINDS["infiniband-ndr"].usable_gb_s == pytest.approx(48.5)  # SimAI -nic
    # SimAI's own all-reduce over NICs comes out at 45 GB/s of bus bandwidth: an end-to-end figure
    # for 8 servers and a 1 GB buffer of ours must be within 10 % of it
    p = NetworkConstants()
    seconds = ring_time_s("all_reduce", 8, 1.0, 48.5, p.fabric_alpha_s)
    assert bus_factor("all_reduce", 8) / seconds == pytest.approx(45, rel=0.10)
    for kind in LINK_KINDS.values():
        assert 0.5 < kind.usable_share <= 1
        assert kind.source


def test_it_names_a_source_for_every_constant():
    for one in NetworkConstants().listed():
        assert len(one.source) > 10, one.name
    assert len(NetworkConstants().listed()) == len(dataclasses.fields(NetworkConstants))


@given(ranks=st.integers(2, 40))
def test_it_moves_the_same_data_on_every_rank_of_a_ring(ranks):
    hops = ring_hops(ranks)
    sent = np.bincount([hop.source for hop in hops], [hop.share for hop in hops], ranks)
    assert sent == pytest.approx(np.full(ranks, 2 * (ranks - 1) / ranks))


@given(ranks=st.integers(2, 40))
def test_it_sends_at_most_twice_the_buffer_in_two_trees(ranks):
    hops = tree_hops(ranks)
    sent = np.bincount([hop.source for hop in hops], [hop.share for hop in hops], ranks)
    got = np.bincount([hop.target for hop in hops], [hop.share for hop in hops], ranks)
    assert (sent == got).all()
    assert sent.max() <= 2.0
    # each tree has ranks - 1 edges, each carries half the buffer both ways
    assert sent.sum() == pytest.approx(2 * (ranks - 1))


def test_it_picks_trees_for_small_buffers_and_rings_for_large_ones():
    assert quicker(64, 1e-5, 48.5, 6e-6) == "tree"
    assert quicker(8, 14.0, 48.5, 6e-6) == "ring"


def test_it_reduces_inside_servers_first():
    # 8 servers of 8 GPUs, 14 GB: 2 x 7/8 x 14/400 inside, 2 x 7/8 x 14/48.5 between
    found = hierarchical_time_s(
        8, 8, 14.0, inside=LinkPace(400.0, 0.0), between=LinkPace(48.5, 0.0)
    )
    assert found == pytest.approx(0.06125 + 0.50515, rel=1e-4)


def test_it_shares_an_arc_fairly_and_leaves_nothing_idle():
    # flow 0 crosses arcs 0 and 1, flow 1 arc 0, flow 2 arc 1: the textbook's parking lot
    usage = csr_array(np.array([[1.0, 1, 0], [1, 0, 0], [0, 1, 0]]))
    found = max_min(usage, np.array([[10.0, 4.0, 9.0], [4.0, 10.0, 9.0]]))
    assert found.gbps == pytest.approx(np.array([[2.0, 8, 2], [2, 2, 8]]))
    assert found.bottleneck.tolist() == [[1, 0, 1], [0, 0, 1]]


@given(
    st.integers(1, 6).flatmap(
        lambda flows: st.lists(
            st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=4, max_size=4),
            min_size=flows,
            max_size=flows,
        )
    ),
    st.lists(st.floats(1.0, 500.0), min_size=4, max_size=4),
)
def test_it_is_max_min_fair(usage, capacity):
    usage, capacity = np.array(usage), np.array([capacity])
    found = max_min(csr_array(usage), capacity)
    rates = np.where(usage.any(axis=1), found.gbps[0], 0.0)
    load = rates @ usage
    assert (load <= capacity[0] * (1 + 1e-6)).all()
    for flow in np.nonzero(usage.any(axis=1))[0]:
        # it is held by a full arc on which nobody is quicker
        arc = found.bottleneck[0, flow]
        assert usage[flow, arc] > 0
        assert load[arc] == pytest.approx(capacity[0, arc])
        assert rates[flow] >= rates[usage[:, arc] > 0].max() * (1 - 1e-6)

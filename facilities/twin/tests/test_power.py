"""The electrical system of the demo hall, and of sites with other feeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.twin.drive import Drive
from facilities.twin.power import Power, PowerState
from facilities.twin.power.failover import contingencies
from facilities.twin.power.redundancy import paths, single_points, stages
from facilities.twin.read import multiplied, read_site
from facilities.twin.site import AssetRecord, Floats, LinkRecord, Site, SiteError

DEMO = read_site()
SERVER_W = 6_200.0


class Bench:
    """A power system with constant demands, stepped by hand."""

    def __init__(self, site: Site = DEMO, *, members: int = 1, server_w: float = SERVER_W) -> None:
        self.site, self.power = site, Power(site)
        self.drive = Drive(site, members=members)
        self.server_w = np.full((members, site.count("server")), server_w)
        self.mechanical: dict[str, Floats] = {
            kind: np.full((members, site.count(kind)), watts)
            for kind, watts in {"crac": 2_600.0, "chiller": 25_000.0, "pump": 2_700.0}.items()
        }
        self.state: PowerState = self.power.initial(self.drive)
        self.time_s = 0.0
        self.run(30)

    def run(self, seconds: float, dt_s: float = 5.0) -> None:
        for _ in range(round(seconds / dt_s)):
            self.power.step(
                self.state,
                self.drive,
                server_w=self.server_w,
                mechanical_w=self.mechanical,
                dt_s=dt_s,
            )
            assert np.abs(self.power.balance(self.state).error).max() < 1e-9
            self.time_s += dt_s

    def value(self, tag: str, quantity: str, member: int = 0) -> float:
        kind, row = self.site.locate(tag)
        return float(self.power.values(self.state, self.drive)[kind, quantity][member, row])


def chain_site(*links: tuple[str, str], **kinds: Sequence[str]) -> Site:
    assets = [
        AssetRecord(tag, kind, "h", attributes={"rated_w": 10_000.0})
        for kind, tags in kinds.items()
        for tag in tags
    ]
    return Site(assets, [LinkRecord(a, b, "power", {}) for a, b in links])


def test_it_adds_up_the_chain_by_hand() -> None:
    """Twelve racks of 4.8 kW and four of 4 · 6.2 + 0.85 kW over two feeds."""
    bench = Bench()
    it_w = 12 * 4_800 + 4 * (4 * 6_200 + 850)
    assert bench.value("hall-1", "it_power_w") == pytest.approx(it_w)
    pdu_out = it_w / 4
    pdu_in = pdu_out + 150_000 * (0.0026 + 0.0125 * (pdu_out / 150_000) ** 2)
    assert bench.value("pdu-a1", "power_w") == pytest.approx(pdu_in)
    share = 2 * pdu_in / 300_000
    ups_in = 2 * pdu_in + 300_000 * (0.01 + share * (0.026 + share * 0.012))
    site_w = 2 * ups_in + 4 * 2_600 + 2 * 25_000 + 2 * 2_700 + 16 * 50
    assert bench.value("utility-1", "power_w") == pytest.approx(site_w)
    assert bench.value("hall-1", "pue") == pytest.approx(site_w / it_w)
    assert bench.value("pdu-a1", "current_a") == pytest.approx(pdu_in / (3**0.5 * 400 * 0.98))


def test_it_moves_the_load_when_a_feed_dies() -> None:
    bench = Bench()
    before = bench.value("pdu-b1", "power_w")
    bench.drive.set("pdu-a1", "breaker_closed", 0)
    bench.run(5)
    assert bench.value("pdu-a1", "power_w") == 0
    assert bench.value("pdu-b1", "power_w") > 1.9 * before
    assert bench.state.rack_on.min() == 1
    bench.drive.set("pdu-b1", "failed", 1)
    bench.run(5)
    assert list(bench.state.rack_on[0]) == [0.0] * 8 + [1.0] * 8
    bench.drive.set("pdu-a1", "breaker_closed", 1)
    bench.run(5)
    assert bench.state.rack_on.min() == 1


def test_it_trips_an_overloaded_breaker_and_holds_it_open() -> None:
    bench = Bench()
    bench.drive.set("pdu-b1", "failed", 1)
    general = [0, 1, 4, 5, 6, 7]
    bench.drive.values["rack", "other_it_w"][:, general] = 30_000.0
    bench.run(5)
    share = bench.value("pdu-a1", "power_w") / 150_000
    assert share < 1.0  # the cap of the racks keeps general IT within their rating
    bench.drive.values["rack", "load_cap_pct"][:, :8] = 400.0
    bench.run(60)
    share = bench.value("pdu-a1", "power_w") / 150_000
    assert 1.2 < share < 2.5
    expected = float(bench.power.breaker.tolerated_s(share))
    bench.run(expected + 20)
    assert bench.value("pdu-a1", "breaker_closed") == 0
    assert bench.state.rack_on[0, :8].max() == 0
    bench.drive.values["rack", "other_it_w"][:, general] = 4_000.0
    bench.run(60)
    assert bench.value("pdu-a1", "breaker_closed") == 0
    bench.drive.set("pdu-a1", "breaker_closed", 0)
    bench.run(5)
    bench.drive.set("pdu-a1", "breaker_closed", 1)
    bench.run(5)
    assert bench.value("pdu-a1", "breaker_closed") == 1


@pytest.mark.parametrize("dt_s", [1.0, 3.0, 5.0, 7.5, 15.0])
def test_it_rides_through_a_lost_utility_whatever_the_step(dt_s: float) -> None:
    """12 s start and 3 s transfer on the battery: the charge used does not depend on the step."""
    bench = Bench()
    bench.drive.set("utility-1", "available", 0)
    bench.run(15, dt_s)
    power_w, rate = bench.state.ups_in_w, bench.power.battery.rate(bench.state.ups_in_w)
    used = power_w * rate * 15 / bench.power.battery.capacity_j
    assert np.allclose(1 - bench.state.charge, used, rtol=1e-6)
    bench.run(15, dt_s)
    assert bench.state.rack_on.min() == 1
    assert bench.value("gen-1", "power_w") > 200_000
    assert bench.value("utility-1", "power_w") == 0
    assert bench.state.powered["crac"].min() == 1


def test_it_goes_back_to_the_utility_and_recharges() -> None:
    bench = Bench()
    bench.drive.set("utility-1", "available", 0)
    bench.run(60)
    low = bench.state.charge.copy()
    bench.drive.set("utility-1", "available", 1)
    bench.run(25)
    assert bench.value("gen-1", "power_w") > 0  # not yet: 30 s of good voltage first
    bench.run(15)
    assert bench.value("gen-1", "power_w") == 0
    assert bench.value("gen-1", "running") == 1  # cools down
    bench.run(130)
    assert bench.value("gen-1", "running") == 0
    assert (bench.state.charge > low).all()
    bench.run(3600, 15)
    assert bench.state.charge.min() > 0.999


def test_it_lives_on_batteries_until_they_are_empty_when_the_generator_fails() -> None:
    bench = Bench()
    bench.drive.set("utility-1", "available", 0)
    bench.drive.set("gen-1", "fails_to_start", 1)
    bench.run(20)
    assert bench.value("gen-1", "start_fail") == 1
    assert bench.value("ups-a", "on_battery") == 1
    assert bench.state.powered["crac"].max() == 0
    left_s = bench.value("ups-a", "runtime_s")
    bench.run(left_s - 30)
    assert bench.state.rack_on.min() == 1
    bench.run(60)
    assert bench.state.rack_on.max() == 0
    assert bench.value("ups-a", "battery_pct") == 0
    bench.drive.set("gen-1", "fails_to_start", 0)
    bench.run(20)
    assert bench.state.rack_on.min() == 1
    assert bench.value("ups-a", "on_battery") == 0


def test_it_burns_fuel_as_the_chart_says() -> None:
    """500 kW at half load burns 70 L/h in the chart; the line through it says 72.7."""
    bench = Bench()
    bench.drive.set("utility-1", "available", 0)
    bench.run(60)
    fuel = bench.state.fuel[0, 0]
    bench.run(900)
    litres_h = (fuel - bench.state.fuel[0, 0]) * 4000 * 4
    watts = bench.value("gen-1", "power_w")
    assert litres_h == pytest.approx(20.8e-6 * 500_000 + 0.2493e-3 * watts, rel=0.01)
    bench.state.fuel[:] = 1e-6
    bench.run(30)
    assert bench.value("gen-1", "power_w") == 0


def test_it_transfers_an_overloaded_ups_to_bypass_and_back() -> None:
    bench = Bench(server_w=17_000.0)
    bench.drive.set("ups-b", "isolated", 1)
    bench.drive.values["rack", "load_cap_pct"][:] = 100.0
    bench.run(5)
    share = bench.value("ups-a", "load_pct") / 100
    assert 1.1 < share < 1.4
    bench.run(float(bench.power.ups_allowance.tolerated_s(share)) + 10)
    assert bench.state.ups_latched[0, 0] == 1
    assert bench.state.rack_on.min() == 1
    assert bench.state.ups_loss_w[0, 0] == pytest.approx(0.01 * bench.state.ups_w[0, 0])
    bench.server_w[:] = 5_000.0
    bench.run(60)
    assert bench.state.ups_latched[0, 0] == 0


def test_it_drops_the_load_of_a_failed_inverter_with_the_utility() -> None:
    bench = Bench()
    bench.drive.set("ups-a", "failed", 1)
    bench.drive.set("ups-b", "isolated", 1)
    bench.run(10)
    assert bench.state.rack_on.min() == 1
    bench.drive.set("utility-1", "available", 0)
    bench.run(5)
    assert bench.state.rack_on.max() == 0
    assert bench.state.charge[0, 0] == 1


def test_it_keeps_members_apart() -> None:
    bench = Bench(members=3)
    bench.drive.set("pdu-a1", "failed", 1, members=slice(1, 2))
    bench.drive.set("utility-1", "available", 0, members=slice(2, 3))
    bench.run(10)
    assert bench.state.pdu_w[:, 0].tolist() == [pytest.approx(bench.state.pdu_w[0, 0]), 0.0,
                                                pytest.approx(bench.state.pdu_w[0, 0])]  # fmt: skip
    assert bench.state.ups_battery_w[0].max() == 0
    assert bench.state.ups_battery_w[2].min() > 0
    assert bench.state.charge[0].min() == 1


_EVENT = st.tuples(
    st.sampled_from(
        ["utility-1.available", "gen-1.fails_to_start", "pdu-a1.breaker_closed", "pdu-b2.failed",
         "ups-a.failed", "ups-b.isolated", "ups-a.bypass", "ups-a.battery_health"]
    ),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([1.0, 5.0, 15.0]),
    st.floats(0, 12_000),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(_EVENT, min_size=1, max_size=12))
def test_it_conserves_energy_whatever_happens(
    events: list[tuple[str, float, float, float]],
) -> None:
    """In = served + losses + stored within 0.1 % (here: rounding), powers never negative."""
    bench = Bench()
    for drive, value, dt_s, server_w in events:
        tag, quantity = drive.split(".")
        if quantity == "battery_health":
            value = max(value, 0.4)
        bench.drive.set(tag, quantity, value)
        bench.server_w[:] = server_w
        bench.run(4 * dt_s, dt_s)
        state = bench.state
        for watts in (state.rack_w, state.pdu_w, state.utility_w, state.generator_w, state.loss_w):
            assert watts.min() >= 0
        assert state.rack_on.max() <= 1


def test_it_takes_readings_into_the_state() -> None:
    bench = Bench()
    racks, servers = bench.site.count("rack"), bench.site.count("server")
    rack_w = np.full((1, racks), 4_444.0)
    rack_w[0, 2:4] = 26_000.0
    rack_w[0, 0] = np.nan
    bench.power.observe(
        bench.state,
        {
            ("rack", "power_w"): rack_w,
            ("server", "power_w"): np.full((1, servers), 6_000.0),
            ("ups", "battery_pct"): np.array([[55.0, np.nan]]),
            ("generator", "fuel_pct"): np.array([[70.0]]),
        },
    )
    assert bench.state.other_it_w[0, 0] == pytest.approx(4_800)  # unknown stays
    assert bench.state.other_it_w[0, 1] == pytest.approx(4_444)
    assert bench.state.other_it_w[0, 2] == pytest.approx(26_000 - 24_000 - 850)
    assert bench.state.charge[0].tolist() == [0.55, 1.0]
    assert bench.state.fuel[0, 0] == pytest.approx(0.7)


def test_it_adds_the_rectifiers_of_a_power_shelf() -> None:
    assets = [
        AssetRecord("r", "rack", "h", attributes={"rated_w": 50_000, "power_shelf": True}),
        *(AssetRecord(f"s{n}", "server", "h", rack="r") for n in range(4)),
    ]
    power = Power(site := Site(assets))
    drive = Drive(site)
    state = power.initial(drive)
    power.step(state, drive, server_w=np.full((1, 4), 1_000.0), mechanical_w={}, dt_s=5)
    assert state.rack_w[0, 0] == pytest.approx((4_000 + 17) / 0.96)


def test_it_gives_the_same_for_a_large_site_as_for_a_small_one() -> None:
    """Sparse and dense sums agree: 25 copies draw 25 times as much, each the same."""
    one, many = Bench(), Bench(multiplied(DEMO, 25))
    for bench in (one, many):
        for tag in [t for t in bench.site.tags("pdu") if t.endswith("a1")]:
            bench.drive.set(tag, "failed", 1)
        bench.run(10)
    assert many.state.utility_w.sum() == pytest.approx(25 * one.state.utility_w.sum())
    assert np.allclose(many.state.rack_w.reshape(25, -1), one.state.rack_w)
    assert many.power.values(many.state, many.drive)["hall", "facility_power_w"].sum() == (
        pytest.approx(many.state.utility_w.sum())
    )


def test_it_follows_nested_pdus_and_refuses_a_circle() -> None:
    links = [("u", "p1"), ("p1", "p2"), ("p2", "p3"), ("p3", "r")]
    site = chain_site(*links, utility=["u"], pdu=["p3", "p2", "p1"], rack=["r"])
    bench = Bench(site)
    for tag in ("p1", "p2", "p3"):
        assert bench.value(tag, "power_w") > bench.value("r", "power_w")
    assert bench.value("p1", "power_w") > bench.value("p2", "power_w")
    bench.drive.set("p2", "failed", 1)
    bench.run(5)
    assert bench.state.rack_on[0, 0] == 0
    with pytest.raises(SiteError, match="circle"):
        Power(chain_site(("p1", "p2"), ("p2", "p1"), pdu=["p1", "p2"]))
    with pytest.raises(SiteError, match="UPS is fed"):
        Power(chain_site(("p1", "x"), pdu=["p1"], ups=["x"]))


def test_it_runs_without_any_power_link() -> None:
    bench = Bench(chain_site(rack=["r1", "r2"], crac=["c"]))
    assert bench.state.rack_on.min() == 1
    assert bench.value("r1", "power_w") == pytest.approx(6_000)


def test_it_finds_single_points_of_failure() -> None:
    assert single_points(DEMO) == []
    links = [("u", "ups"), ("g", "ups"), ("ups", "pa"), ("ups", "pb"),
             ("pa", "r1"), ("pb", "r1"), ("pa", "r2")]  # fmt: skip
    site = chain_site(
        *links, utility=["u"], generator=["g"], ups=["ups"], pdu=["pa", "pb"], rack=["r1", "r2"]
    )
    found = {point.tag: point.loads for point in single_points(site)}
    assert found == {"ups": ("r1", "r2"), "pa": ("r2",)}
    assert (paths(DEMO, "rack-1-03"), paths(site, "r1"), paths(site, "r2")) == (2, 1, 1)


def test_it_names_the_redundancy_of_a_stage() -> None:
    rated = {"ups": np.full(2, 300_000.0), "generator": np.array([500_000.0])}
    load = {"ups": 250_000.0, "generator": 400_000.0}
    assert [s.label for s in stages(DEMO, rated_w=rated, load_w=load)] == ["N", "2N"]
    load = {"ups": 350_000.0, "generator": 600_000.0}
    assert [s.label for s in stages(DEMO, rated_w=rated, load_w=load)] == ["short", "N"]


def test_it_tries_every_single_loss() -> None:
    bench = Bench()
    found = {
        item.lost: item
        for item in contingencies(
            bench.power, bench.state, bench.drive,
            server_w=bench.server_w, mechanical_w=bench.mechanical,
        )
    }  # fmt: skip
    assert set(found) == {"utility-1", "ups-a", "ups-b", "pdu-a1", "pdu-a2", "pdu-b1", "pdu-b2"}
    assert all(item.verdict == "holds" for item in found.values())
    assert "crac-1" in found["utility-1"].interrupted
    assert found["utility-1"].lowest_charge is not None
    assert found["utility-1"].lowest_charge < 1
    bench.drive.set("gen-1", "fails_to_start", 1)
    bench.drive.set("pdu-b1", "failed", 1)
    bench.run(5)
    found = {
        item.lost: item
        for item in contingencies(
            bench.power, bench.state, bench.drive,
            server_w=bench.server_w, mechanical_w=bench.mechanical,
        )
    }  # fmt: skip
    assert found["utility-1"].verdict == "loses"
    assert "crac-1" in found["utility-1"].dropped
    assert found["pdu-a1"].dropped == tuple(f"rack-1-{n:02}" for n in range(1, 9))
    assert bench.drive["pdu", "failed"].sum() == 1  # nothing given was changed

"""One step of the electrical system: sources forward to the cords, demand back to the sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats, Site
from facilities.twin.state import Key, Values

from . import chain
from .battery import LONGEST_S, Battery
from .constants import Number, PowerConstants
from .it_load import ItLoad
from .protection import Allowance, Breaker
from .sources import Sources, _or
from .state import LOADS, PowerBalance, PowerState
from .topology import Edges, Feeds, membership

_TINY = 1e-9
_SOURCES = ("ups", "pdu", "generator", "utility")


class Power:
    """Sources, UPS, PDUs and cords of a site. Shapes: (members, assets) everywhere.

    A target with several live cords draws the same from each. A UPS without input lives on its
    battery; with an overload, a failed inverter or by command it passes its input through (static
    bypass), and its output dies with the input. Raises ``SiteError`` for feeds that make no sense.
    """

    def __init__(self, site: Site, parameters: PowerConstants | None = None) -> None:
        self.site = site
        self.constants = c = parameters or PowerConstants()
        self.feeds = f = Feeds(site)
        self.sources = Sources(site, f, c)
        self._ups_curve, self._pdu_curve = chain.ups(c), chain.pdu(c)
        self.ups_rated_w = _or(site.attribute("ups", "rated_w", np.nan), c.ups_rated_w)
        minutes = _or(site.attribute("ups", "battery_min_at_rated", np.nan), c.battery_min)
        loss_w = self._ups_curve.loss_w(self.ups_rated_w, self.ups_rated_w)
        self.battery = Battery(c, reference_w=self.ups_rated_w + loss_w, rated_s=minutes * 60.0)
        self._charger_w = c.charger * self.ups_rated_w
        self.ups_allowance = Allowance(
            start=c.ups_overload_from,
            a_s=c.ups_overload_s,
            power=c.ups_overload_power,
            recovery_s=c.ups_overload_cooling_s,
        )
        self.pdu_rated_w = _or(site.attribute("pdu", "rated_w", np.nan), c.pdu_rated_w)
        self.nominal_v = _or(site.attribute("utility", "nominal_v", np.nan), c.nominal_v)
        volts = self.nominal_v.mean(axis=1, keepdims=True) if f.utilities else c.nominal_v
        self.volts = np.atleast_2d(np.asarray(volts, dtype=np.float64))
        self._w_per_a = np.sqrt(3.0) * self.volts * c.power_factor
        self.breaker_w = _or(site.attribute("pdu", "breaker_a", np.nan) * self._w_per_a, np.nan)
        self.breaker_w = np.where(np.isnan(self.breaker_w), self.pdu_rated_w, self.breaker_w)
        self.breaker = Breaker(c)
        self._racks = f.loads["rack"]
        self.it = ItLoad(site, c)
        self._lighting_w = self._lighting()
        self._pdu_hall = Edges(membership(site.hall_of("pdu"), f.halls))
        self._ups_hall = Edges(membership(site.hall_of("ups"), f.halls))
        self._rack_hall = Edges(membership(site.hall_of("rack"), f.halls))
        self._load_hall = Edges(f.load_hall)
        self._pdu_to_loads = Edges(f.from_pdu[:, f.load_columns])
        self._ups_to_loads = Edges(f.from_ups[:, f.load_columns])
        self._ups_to_pdus = Edges(f.from_ups[:, f.pdu_columns])
        self._pdu_to_pdus = f.from_pdu[:, f.pdu_columns]
        self._nested = len(f.layers) > 1

    def _lighting(self) -> Floats:
        f = self.feeds
        racks = membership(self.site.hall_of("rack"), f.halls).sum(axis=0)
        known = {a.tag: a.attributes.get("lighting_w") for a in self.site.of_kind("hall")}
        listed = np.array([known.get(hall) for hall in self.site.halls], dtype=np.float64)
        return np.atleast_2d(_or(listed, self.constants.lighting_w_per_rack * racks))

    def initial(self, drive: Drive) -> PowerState:
        """Everything on, batteries full, no server load yet: step it with loads to settle."""
        f, members = self.feeds, drive.members

        def filled(count: int, value: Number = 0.0) -> Floats:
            return np.zeros((members, count)) + value

        counts = {f"{kind}_on": filled(self.site.count(kind), 1.0) for kind in LOADS}
        return PowerState(
            rack_w=filled(self.site.count("rack")),
            **counts,
            other_it_w=filled(self.site.count("rack"), self.it.general_w),
            loss_w=filled(f.halls),
            load_w=filled(f.load_count),
            charge=filled(f.ups, 1.0),
            **{
                name: filled(f.ups)
                for name in (
                    "ups_w",
                    "ups_in_w",
                    "ups_battery_w",
                    "ups_loss_w",
                    "ups_heat",
                    "ups_latched",
                    "ups_stored_w",
                )
            },
            ups_mains=filled(f.ups, 1.0),
            ups_out=filled(f.ups, 1.0),
            pdu_w=filled(f.pdus),
            pdu_loss_w=filled(f.pdus),
            pdu_on=filled(f.pdus, 1.0),
            breaker_heat=filled(f.pdus),
            breaker_tripped=filled(f.pdus),
            generator_w=filled(f.generators),
            generator_s=filled(f.generators),
            generator_wanted_s=filled(f.generators),
            generator_cooling_s=filled(f.generators),
            generator_heat=filled(f.generators),
            generator_ready=filled(f.generators),
            fuel=filled(f.generators, self.constants.fuel),
            utility_w=filled(f.utilities),
            utility_back_s=filled(f.utilities, 1e6),
            implied_w=filled(1),
            on_generator=filled(f.targets),
        )

    def step(
        self,
        state: PowerState,
        drive: Drive,
        *,
        server_w: Floats,
        mechanical_w: Mapping[str, Floats],
        dt_s: float,
    ) -> None:
        """Advance by ``dt_s``: ``server_w`` (M, S) at the plug, ``mechanical_w`` by kind (M, n).

        A kind that is not in ``mechanical_w`` draws nothing. Servers of a rack with the attribute
        ``power_shelf`` are fed DC: the rack's rectifiers come on top.
        """
        f = self.feeds
        mains = self.sources.step(state, drive, dt_s)
        health = drive["ups", "battery_health"]
        bypass = self._bypass(state, drive)
        self._forward_ups(state, drive, mains, bypass, dt_s)
        pdu_cords = self._forward_pdus(state, drive, mains)
        load_mains = mains[:, f.load_columns]
        cords = (
            load_mains
            + self._ups_to_loads.forward(state.ups_out)
            + self._pdu_to_loads.forward(state.pdu_on)
        )
        on = np.minimum(cords, 1.0)
        for kind, columns in f.loads.items():
            setattr(state, f"{kind}_on", on[:, columns])
        demand = self._demand(state, drive, server_w, mechanical_w)
        state.load_w = load_w = demand * on
        state.rack_w = load_w[:, self._racks]

        per_cord = load_w / np.maximum(cords, _TINY)
        pdu_per_cord = self._backward_pdus(state, per_cord, pdu_cords)
        state.ups_w = state.ups_out * (
            self._ups_to_loads.backward(per_cord) + self._ups_to_pdus.backward(pdu_per_cord)
        )
        from_mains_w = self._backward_ups(state, bypass, drive, health, dt_s)
        demand_w = np.hstack(
            [
                from_mains_w,
                pdu_per_cord * mains[:, f.pdu_columns],
                per_cord * load_mains,
            ]
        )
        self.sources.share_out(state, demand_w, drive, dt_s)
        state.loss_w = (
            self._pdu_hall.forward(state.pdu_loss_w)
            + self._ups_hall.forward(state.ups_loss_w)
            + load_w[:, f.lighting]
        )
        self.breaker.follow(
            state.breaker_heat, state.breaker_tripped, state.pdu_w / self.breaker_w, dt_s
        )

    def _bypass(self, state: PowerState, drive: Drive) -> Floats:
        """1 where the output is the input: by command, failure or overload."""
        asked = np.maximum(drive["ups", "bypass"], drive["ups", "failed"])
        return np.asarray(np.maximum(asked, state.ups_latched) > 0.5, dtype=np.float64)

    def _forward_ups(
        self, state: PowerState, drive: Drive, mains: Floats, bypass: Floats, dt_s: float
    ) -> None:
        state.ups_mains = given = mains[:, self.feeds.ups_columns] + np.zeros(state.charge.shape)
        connected = drive["ups", "isolated"] < 0.5
        if (given >= 1.0).all():
            state.ups_out = given * connected
            return
        power_w = state.ups_in_w / np.maximum(state.ups_out, 0.05)
        health = drive["ups", "battery_health"]
        carried = self.battery.runtime_s(state.charge, power_w, health) / dt_s
        out = given + (1.0 - bypass) * np.minimum(carried, 1.0 - given)
        state.ups_out = out * connected

    def _forward_pdus(self, state: PowerState, drive: Drive, mains: Floats) -> Floats:
        """Set which PDUs are live; return the sum of their live cords, (M, P)."""
        command = drive["pdu", "breaker_closed"]
        reset = command < 0.5
        if np.count_nonzero(state.breaker_tripped):
            state.breaker_tripped = np.where(reset, 0.0, state.breaker_tripped)
        closed = np.asarray(
            ~reset & (drive["pdu", "failed"] < 0.5) & (state.breaker_tripped < 0.5),
            dtype=np.float64,
        )
        cords = mains[:, self.feeds.pdu_columns] + self._ups_to_pdus.forward(state.ups_out)
        if not self._nested:
            state.pdu_on = closed * np.minimum(cords, 1.0)
            return np.asarray(cords)
        state.pdu_on = np.zeros(state.pdu_on.shape)
        for layer in self.feeds.layers:
            cords[:, layer] += state.pdu_on @ self._pdu_to_pdus[:, layer]
            state.pdu_on[:, layer] = closed[:, layer] * np.minimum(cords[:, layer], 1.0)
        return np.asarray(cords)

    def _demand(
        self, state: PowerState, drive: Drive, server_w: Floats, mechanical_w: Mapping[str, Floats]
    ) -> Floats:
        """What every load asks for, (M, loads)."""
        f = self.feeds
        demand = np.zeros((state.members, f.load_count))
        demand[:, self._racks] = self.it.rack_w(state.other_it_w, drive, server_w)
        for kind, columns in f.loads.items():
            if kind != "rack" and kind in mechanical_w:
                demand[:, columns] = mechanical_w[kind]
        demand[:, f.lighting] = self._lighting_w
        return demand

    def _backward_pdus(self, state: PowerState, per_cord: Floats, cords: Floats) -> Floats:
        """Load of every PDU and its loss; return what each live cord of it draws, (M, P)."""
        out_w = state.pdu_on * self._pdu_to_loads.backward(per_cord)
        if not self._nested:
            state.pdu_loss_w = self._pdu_loss(out_w, state.pdu_on)
            state.pdu_w = out_w + state.pdu_loss_w
            return np.asarray(state.pdu_w / np.maximum(cords, _TINY))
        each = np.zeros(out_w.shape)
        state.pdu_w, state.pdu_loss_w = np.zeros(out_w.shape), np.zeros(out_w.shape)
        for layer in reversed(self.feeds.layers):
            out_w[:, layer] += state.pdu_on[:, layer] * (each @ self._pdu_to_pdus[layer].T)
            loss = self._pdu_loss(out_w, state.pdu_on)[:, layer]
            state.pdu_loss_w[:, layer] = loss
            state.pdu_w[:, layer] = out_w[:, layer] + loss
            each[:, layer] = state.pdu_w[:, layer] / np.maximum(cords[:, layer], _TINY)
        return each

    def _pdu_loss(self, out_w: Floats, on: Floats) -> Floats:
        return np.asarray(self._pdu_curve.loss_w(out_w, self.pdu_rated_w, on))

    def _backward_ups(
        self, state: PowerState, bypass: Floats, drive: Drive, health: Floats, dt_s: float
    ) -> Floats:
        """Losses, battery and overload of every UPS; return what each draws from mains, (M, U)."""
        out_w, on, mains = state.ups_w, state.ups_out, state.ups_mains
        loss_w = np.asarray(self._ups_curve.loss_w(out_w, self.ups_rated_w, on))
        if np.count_nonzero(bypass):
            loss_w = np.where(bypass > 0, self.constants.ups_bypass_loss * out_w, loss_w)
        state.ups_in_w = out_w + loss_w
        on_battery = np.maximum(on - mains, 0.0)
        if not np.count_nonzero(state.charge < 0.9995) and not np.count_nonzero(on_battery):
            state.ups_battery_w = np.zeros(out_w.shape)
            state.ups_stored_w = state.ups_battery_w
            state.ups_loss_w = loss_w
            from_mains_w = state.ups_in_w
        else:
            battery_w = state.ups_in_w * on_battery / np.maximum(on, _TINY)
            flow = self.battery.step(
                state.charge,
                power_w=battery_w,
                share=on_battery,
                can_charge=mains * (drive["ups", "failed"] < 0.5),
                limit_w=self._charger_w,
                health=health,
                dt_s=dt_s,
            )
            state.ups_battery_w = battery_w - flow.charging_w
            state.ups_stored_w = flow.stored_w
            state.ups_loss_w = loss_w + flow.loss_w
            from_mains_w = state.ups_in_w - battery_w + flow.charging_w
        self.ups_allowance.follow(state.ups_heat, out_w / self.ups_rated_w, dt_s)
        if np.count_nonzero(state.ups_heat):
            fits = (out_w < self.ups_rated_w) & (mains > 0)
            tripped = state.ups_heat >= 1.0
            state.ups_latched = np.where(
                tripped & ~fits, 1.0, np.where(fits, 0.0, state.ups_latched)
            )
        return np.asarray(from_mains_w)

    def balance(self, state: PowerState) -> PowerBalance:
        """What came in, was used, lost and stored in the last step."""
        in_w = state.utility_w.sum(axis=1) + state.generator_w.sum(axis=1)
        in_w += state.implied_w[:, 0]
        served_w = state.load_w.sum(axis=1)
        loss_w = state.pdu_loss_w.sum(axis=1) + state.ups_loss_w.sum(axis=1)
        stored_w = state.ups_stored_w.sum(axis=1)
        through_w = np.maximum(np.maximum(in_w, served_w), 1.0)
        error = (in_w - served_w - loss_w - stored_w) / through_w
        return PowerBalance(in_w, served_w, loss_w, stored_w, error)

    def values(
        self, state: PowerState, drive: Drive, keys: Collection[Key] | None = None
    ) -> Values:
        """Every electrical quantity of the data list by (kind, quantity), (M, n); or of ``keys``
        those that are electrical.
        """
        values: Values = {}
        if keys is None or any(key[0] == "hall" for key in keys):
            hall_it_w = self._rack_hall.forward(state.rack_w)
            hall_w = self._hall_w(state, hall_it_w)
            values["hall", "it_power_w"], values["hall", "facility_power_w"] = hall_it_w, hall_w
            values["hall", "pue"] = np.divide(
                hall_w, hall_it_w, out=np.zeros(hall_w.shape), where=hall_it_w > 1.0
            )
        values["rack", "power_w"] = state.rack_w
        if keys is None or any(key[0] in _SOURCES for key in keys):
            values.update(self._source_values(state, drive))
        return values

    def _source_values(self, state: PowerState, drive: Drive) -> Values:
        running = self.sources.running(state)
        on_battery = state.ups_out > state.ups_mains + _TINY
        present = (drive["utility", "available"] > 0.5).astype(np.float64)
        return {
            ("ups", "load_w"): state.ups_w,
            ("ups", "load_pct"): 100.0 * state.ups_w / self.ups_rated_w,
            ("ups", "battery_pct"): 100.0 * np.clip(state.charge, 0.0, 1.0),
            ("ups", "runtime_s"): self.runtime_s(state, drive),
            ("ups", "on_battery"): on_battery.astype(np.float64),
            ("ups", "input_v"): self.volts * (state.ups_mains > 0),
            ("ups", "loss_w"): state.ups_loss_w,
            ("pdu", "power_w"): state.pdu_w,
            ("pdu", "loss_w"): state.pdu_loss_w,
            ("pdu", "current_a"): state.pdu_w / self._w_per_a,
            ("pdu", "breaker_closed"): (
                (drive["pdu", "breaker_closed"] > 0.5)
                & (drive["pdu", "failed"] < 0.5)
                & (state.breaker_tripped < 0.5)
            ).astype(np.float64),
            ("generator", "running"): running,
            ("generator", "power_w"): state.generator_w,
            ("generator", "fuel_pct"): 100.0 * state.fuel,
            ("generator", "start_fail"): self.sources.start_failed(state),
            ("utility", "power_w"): state.utility_w,
            ("utility", "voltage_v"): present * self.nominal_v,
            ("utility", "available"): present,
        }

    def runtime_s(self, state: PowerState, drive: Drive) -> Floats:
        """How long each battery would carry the present load, (M, U); at most a day."""
        if not self.feeds.ups:
            return np.full((state.members, 0), LONGEST_S)
        power_w = state.ups_in_w / np.maximum(state.ups_out, 0.05)
        return self.battery.runtime_s(state.charge, power_w, drive["ups", "battery_health"])

    def _hall_w(self, state: PowerState, hall_it_w: Floats) -> Floats:
        """Each hall's own power and its share, by IT power, of what the site has in common."""
        own = (
            self._load_hall.forward(state.load_w)
            + self._pdu_hall.forward(state.pdu_loss_w)
            + self._ups_hall.forward(state.ups_loss_w)
        )
        total = (
            state.load_w.sum(axis=1, keepdims=True)
            + state.pdu_loss_w.sum(axis=1, keepdims=True)
            + (state.ups_loss_w + state.ups_stored_w.clip(0.0)).sum(axis=1, keepdims=True)
        )
        it_w = hall_it_w.sum(axis=1, keepdims=True)
        common = total - own.sum(axis=1, keepdims=True)
        return np.asarray(own + common * hall_it_w / np.maximum(it_w, 1.0))

    def observe(self, state: PowerState, readings: Mapping[Key, Floats]) -> None:
        """Put what instruments say into the state, (1, n) by (kind, quantity); NaN: unknown.

        IT that is no server follows from rack and server power; batteries, fuel and running
        generators from their readings.
        """
        other = self.it.observed_other_w(readings)
        if other is not None:
            state.other_it_w = np.where(np.isnan(other), state.other_it_w, other)

        def seen(key: Key, now: Floats, scale: float = 1.0) -> Floats:
            told = readings.get(key)
            return now if told is None else np.where(np.isnan(told), now, told * scale)

        state.rack_w = seen(("rack", "power_w"), state.rack_w)
        state.charge = seen(("ups", "battery_pct"), state.charge, 0.01)
        state.fuel = seen(("generator", "fuel_pct"), state.fuel, 0.01)
        turns = seen(("generator", "running"), np.zeros_like(state.fuel)) > 0.5
        since_s = self.sources.start_s + self.constants.transfer_s
        state.generator_s = np.where(turns, since_s, state.generator_s)
        state.generator_cooling_s = np.where(
            turns, self.constants.cooldown_s, state.generator_cooling_s
        )
        there = seen(("utility", "available"), np.ones_like(state.utility_back_s))
        state.utility_back_s = np.where(there < 0.5, 0.0, state.utility_back_s)

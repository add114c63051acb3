"""One step of the electrical system: sources forward to the cords, demand back to the sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats, Site
from facilities.twin.state import Key, Values

from . import chain
from .battery import FLOAT_CHARGE, LONGEST_S, Battery
from .commands import Commands, commands
from .constants import Number, PowerConstants
from .cords import TINY, Cords
from .it_load import ItLoad
from .protection import Allowance, Breaker
from .sources import Sources, _or
from .state import LOADS, PowerBalance, PowerState
from .topology import Edges, Feeds, membership
from .values import VALUES

_FLOATING = np.array(FLOAT_CHARGE)


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
        self.sources: Sources = Sources(site, f, c)
        self.ups_rated_w: Floats = _or(site.attribute("ups", "rated_w", np.nan), c.ups_rated_w)
        minutes = _or(site.attribute("ups", "battery_min_at_rated", np.nan), c.battery_min)
        loss_w = chain.ups(c).loss_w(self.ups_rated_w, self.ups_rated_w)
        self._ups_losses = chain.ups(c).at(self.ups_rated_w)
        self.battery = Battery(c, reference_w=self.ups_rated_w + loss_w, rated_s=minutes * 60.0)
        self.cords = Cords(f, self.sources, self.battery)
        self._charger_w = c.charger * self.ups_rated_w
        self.ups_allowance = Allowance(
            start=c.ups_overload_from,
            a_s=c.ups_overload_s,
            power=c.ups_overload_power,
            recovery_s=c.ups_overload_cooling_s,
        )
        self.pdu_rated_w = _or(site.attribute("pdu", "rated_w", np.nan), c.pdu_rated_w)
        self._pdu_losses = chain.pdu(c).at(self.pdu_rated_w)
        self.nominal_v: Floats = _or(site.attribute("utility", "nominal_v", np.nan), c.nominal_v)
        volts = self.nominal_v.mean(axis=1, keepdims=True) if f.utilities else c.nominal_v
        self.volts: Floats = np.atleast_2d(np.asarray(volts, dtype=np.float64))
        self.w_per_a: Floats = np.sqrt(3.0) * self.volts * c.power_factor
        self.breaker_w = _or(site.attribute("pdu", "breaker_a", np.nan) * self.w_per_a, np.nan)
        self.breaker_w = np.where(np.isnan(self.breaker_w), self.pdu_rated_w, self.breaker_w)
        self.breaker = Breaker(c)
        self._racks = f.loads["rack"]
        self.it = ItLoad(site, c)
        self._lighting_w = self._lighting()
        self._pdu_hall = Edges(membership(site.hall_of("pdu"), f.halls))
        self._ups_hall = Edges(membership(site.hall_of("ups"), f.halls))
        self._rack_hall = Edges(membership(site.hall_of("rack"), f.halls))
        self._load_hall = Edges(f.load_hall)
        self._on_columns = [(f"{kind}_on", columns) for kind, columns in f.loads.items()]

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
        told: Commands | None = None,
    ) -> None:
        """Advance by ``dt_s``: ``server_w`` (M, S) at the plug, ``mechanical_w`` by kind (M, n).

        A kind that is not in ``mechanical_w`` draws nothing. Servers of a rack with the attribute
        ``power_shelf`` are fed DC: the rack's rectifiers come on top. ``told`` spares reading the drive.
        """
        f, k = self.feeds, told or self.commands(drive)
        bypass = self.cords.bypass(state, k)
        chain = self.cords.live(state, drive, k, bypass, dt_s)
        state.ups_mains, state.ups_out = chain.ups_mains, chain.ups_out
        state.pdu_on, on = chain.pdu_on, chain.on
        for name, columns in self._on_columns:
            setattr(state, name, on[:, columns])
        state.load_w = load_w = self._demand(state, k, server_w, mechanical_w)
        load_w *= on
        state.rack_w = load_w[:, self._racks]

        per_cord = load_w * chain.each_load
        pdu_per_cord = self._backward_pdus(state, per_cord, chain.each_pdu)
        ups_w = self.cords.ups_to_loads.backward(per_cord)
        ups_w += self.cords.ups_to_pdus.backward(pdu_per_cord)
        ups_w *= state.ups_out
        state.ups_w = ups_w
        from_mains_w = self._backward_ups(state, bypass, drive, k.health, chain.calm, dt_s)
        demand_w = np.concatenate(
            (from_mains_w, pdu_per_cord * chain.pdu_mains, per_cord * chain.load_mains), axis=1
        )
        self.sources.share_out(state, demand_w, drive, dt_s)
        loss_w = self._pdu_hall.forward(state.pdu_loss_w)
        loss_w += self._ups_hall.forward(state.ups_loss_w)
        loss_w += load_w[:, f.lighting]
        state.loss_w = loss_w
        self.breaker.follow(
            state.breaker_heat, state.breaker_tripped, state.pdu_w / self.breaker_w, dt_s
        )

    def commands(self, drive: Drive) -> Commands:
        """What a step needs of the drive; hand it to ``step`` for as long as the drive stays."""
        return commands(drive, rated_w=self.it.rated_w, lighting_w=self._lighting_w)

    def _demand(
        self, state: PowerState, k: Commands, server_w: Floats, mechanical_w: Mapping[str, Floats]
    ) -> Floats:
        """What every load asks for, (M, loads)."""
        parts = [self.it.rack_w(state.other_it_w, k, server_w)]
        for kind in LOADS[1:]:
            drawn = mechanical_w.get(kind)
            if drawn is None:
                drawn = np.zeros((state.members, self.site.count(kind)))
            parts.append(drawn)
        return np.concatenate([*parts, k.lighting_w], axis=1)

    def _backward_pdus(self, state: PowerState, per_cord: Floats, each_cord: Floats) -> Floats:
        """Load of every PDU and its loss; return what each live cord of it draws, (M, P)."""
        out_w = self.cords.pdu_to_loads.backward(per_cord)
        out_w *= state.pdu_on
        if not self.cords.nested:
            state.pdu_loss_w = self._pdu_losses.of(out_w, state.pdu_on)
            state.pdu_w = out_w + state.pdu_loss_w
            return np.asarray(state.pdu_w * each_cord)
        each = np.zeros(out_w.shape)
        state.pdu_w, state.pdu_loss_w = np.zeros(out_w.shape), np.zeros(out_w.shape)
        for layer in reversed(self.feeds.layers):
            out_w[:, layer] += state.pdu_on[:, layer] * (each @ self.cords.pdu_to_pdus[layer].T)
            loss = self._pdu_losses.of(out_w, state.pdu_on)[:, layer]
            state.pdu_loss_w[:, layer] = loss
            state.pdu_w[:, layer] = out_w[:, layer] + loss
            each[:, layer] = state.pdu_w[:, layer] * each_cord[:, layer]
        return each

    def _backward_ups(
        self,
        state: PowerState,
        bypass: Floats | None,
        drive: Drive,
        health: Floats,
        calm: bool,
        dt_s: float,
    ) -> Floats:
        """Losses, battery and overload of every UPS; return what each draws from mains, (M, U)."""
        out_w, on, mains = state.ups_w, state.ups_out, state.ups_mains
        loss_w = self._ups_losses.of(out_w, on)
        if bypass is not None:
            loss_w = np.where(bypass > 0, self.constants.ups_bypass_loss * out_w, loss_w)
        state.ups_in_w = out_w + loss_w
        on_battery = None if calm else np.maximum(on - mains, 0.0)
        if (on_battery is None or not np.count_nonzero(on_battery)) and not np.count_nonzero(
            state.charge < _FLOATING
        ):
            state.ups_battery_w = np.zeros(out_w.shape)
            state.ups_stored_w = state.ups_battery_w
            state.ups_loss_w = loss_w
            from_mains_w = state.ups_in_w
        else:
            on_battery = np.zeros(on.shape) if on_battery is None else on_battery
            battery_w = state.ups_in_w * on_battery / np.maximum(on, TINY)
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
        wanted = VALUES if keys is None else [key for key in keys if key in VALUES]
        return {key: VALUES[key](self, state, drive) for key in wanted}

    def hall_it_w(self, state: PowerState) -> Floats:
        """IT power of each hall, (M, H)."""
        return self._rack_hall.forward(state.rack_w)

    def runtime_s(self, state: PowerState, drive: Drive) -> Floats:
        """How long each battery would carry the present load, (M, U); at most a day."""
        if not self.feeds.ups:
            return np.full((state.members, 0), LONGEST_S)
        power_w = state.ups_in_w / np.maximum(state.ups_out, 0.05)
        return self.battery.runtime_s(state.charge, power_w, drive["ups", "battery_health"])

    def hall_w(self, state: PowerState) -> Floats:
        """Each hall's own power and its share, by IT power, of what the site has in common."""
        hall_it_w = self.hall_it_w(state)
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

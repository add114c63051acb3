"""Utility feeds and generators: who is there, and on which of them each transfer switch stands."""

from __future__ import annotations

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats, Site

from .constants import PowerConstants
from .protection import Allowance
from .state import PowerState
from .topology import Edges, Feeds


class Sources:
    """Start order, start, transfer, retransfer, cool-down, fuel and overload of the sources.

    A generator starts when a utility feed that shares a target with it is lost; a target goes to
    the generators while none of its feeds is there, and back once one has been there for
    ``retransfer_s``. What changes within a step counts by the share of the step.
    """

    def __init__(self, site: Site, feeds: Feeds, constants: PowerConstants) -> None:
        self.feeds, self._c = feeds, constants
        heads = feeds.heads
        utility, generator = feeds.from_utility[:, heads], feeds.from_generator[:, heads]
        self._utility_heads, self._generator_heads = Edges(utility), Edges(generator)
        self._utilities = Edges(feeds.from_utility)
        self._generators_of = Edges(feeds.from_generator)
        self._backs_up = Edges((utility @ generator.T > 0).astype(np.float64))
        self.rated_w = site.attribute("generator", "rated_w", np.nan)
        self.rated_w = _or(self.rated_w, constants.generator_rated_w)
        self.start_s = _or(
            site.attribute("generator", "start_s", np.nan), constants.generator_start_s
        )
        self.start_limit_s = _or(
            site.attribute("generator", "start_limit_s", np.nan), constants.generator_start_limit_s
        )
        self._tank_l = _or(site.attribute("generator", "tank_l", np.nan), constants.tank_l)
        self._accept_s = self.start_s + constants.transfer_s
        self.allowance = Allowance(
            start=constants.generator_overload_from,
            a_s=constants.generator_overload_s,
            power=constants.generator_overload_power,
            recovery_s=np.inf,
        )
        self._retransfer_s = float(np.mean(constants.retransfer_s))
        self.full = np.zeros((1, feeds.targets))
        self.full[:, heads] = 1.0

    def calm(self, state: PowerState, available: bool) -> bool:
        """Whether every target has mains from its feeds and no generator has anything to do.

        ``available``: every feed is there.
        """
        if not self.feeds.has_sources:
            return True
        return bool(self.feeds.utilities and available and self._calm(state))

    def step(self, state: PowerState, drive: Drive, dt_s: float) -> Floats:
        """Advance sources that are not calm; return the share of the step that each target has
        mains, (M, T).
        """
        available = drive["utility", "available"] > 0.5
        present = np.asarray(available, dtype=np.float64)
        state.utility_back_s = np.where(available, state.utility_back_s + dt_s, 0.0)
        ready = self._generators(state, drive, 1.0 - present, dt_s)
        heads = self.feeds.heads
        there = self._utility_heads.forward(present) > 0
        back = state.utility_back_s >= self._retransfer_s
        stable = self._utility_heads.forward(back.astype(np.float64)) > 0
        accepted = np.minimum(self._generator_heads.forward(ready), 1.0)
        was = state.on_generator[:, heads] > 0
        on = (accepted > 0) & ~(stable & there) & (~there | was)
        state.on_generator[:, heads] = on
        mains = np.zeros((state.members, self.feeds.targets))
        mains[:, heads] = np.where(on, accepted, there)
        return mains

    def _calm(self, state: PowerState) -> bool:
        """Every feed is present for long, no generator has anything to do."""
        return bool(
            state.utility_back_s.min() >= self._retransfer_s
            and not np.count_nonzero(state.generator_cooling_s)
            and not np.count_nonzero(state.on_generator)
            and not np.count_nonzero(state.generator_wanted_s)
        )

    def _generators(self, state: PowerState, drive: Drive, lost: Floats, dt_s: float) -> Floats:
        """Start, run and stop; return the share of the step with voltage accepted, (M, G)."""
        islanded = not self.feeds.utilities
        wanted = (self._backs_up.forward(lost) > 0) | islanded
        carrying = self._generator_heads.backward(state.on_generator[:, self.feeds.heads]) > 0
        needed = wanted | carrying
        started = state.generator_s >= self.start_s
        refuses = (drive["generator", "fails_to_start"] > 0.5) & ~started
        state.generator_heat[~wanted & ~carrying] = 0.0
        able = (state.fuel > 0) & (state.generator_heat < 1.0)
        runs = needed & able & ~refuses
        cooling = (state.generator_cooling_s > 0) & able & started
        state.generator_wanted_s = np.where(needed, state.generator_wanted_s + dt_s, 0.0)
        state.generator_s = np.where(
            runs, state.generator_s + dt_s, np.where(cooling, state.generator_s, 0.0)
        )
        state.generator_cooling_s = np.where(
            runs, self._c.cooldown_s, np.where(cooling, state.generator_cooling_s - dt_s, 0.0)
        )
        np.maximum(state.generator_cooling_s, 0.0, out=state.generator_cooling_s)
        ready = np.clip((state.generator_s - self._accept_s) / dt_s, 0.0, 1.0) * runs
        state.generator_ready = ready
        return ready

    def share_out(self, state: PowerState, demand_w: Floats, drive: Drive, dt_s: float) -> None:
        """Split what the targets draw from mains, (M, T), over feeds and generators."""
        if not self.feeds.has_sources:
            state.implied_w = demand_w.sum(axis=1, keepdims=True)
            return
        if not np.count_nonzero(state.on_generator):
            if np.count_nonzero(state.generator_w):
                state.generator_w = np.zeros(state.generator_w.shape)
            on_utility = demand_w
        else:
            on_generator = demand_w * state.on_generator
            on_utility = demand_w - on_generator
            weight = state.generator_ready * self.rated_w
            each = on_generator / np.maximum(self._generators_of.forward(weight), 1e-9)
            state.generator_w = weight * self._generators_of.backward(each)
        if self.feeds.utilities == 1:
            state.utility_w = np.add.reduce(on_utility, axis=1, keepdims=True)
        else:
            present = (drive["utility", "available"] > 0.5).astype(np.float64)
            each = on_utility / np.maximum(self._utilities.forward(present), 1.0)
            state.utility_w = present * self._utilities.backward(each)
        self._burn(state, dt_s)

    def _burn(self, state: PowerState, dt_s: float) -> None:
        if not np.count_nonzero(state.generator_cooling_s):
            return
        running = self.running(state)
        litres_h = running * (
            self._c.fuel_fixed_l_h_w * self.rated_w + self._c.fuel_l_wh * state.generator_w
        )
        state.fuel = np.maximum(state.fuel - litres_h * dt_s / 3600.0 / self._tank_l, 0.0)
        self.allowance.follow(state.generator_heat, state.generator_w / self.rated_w, dt_s)

    def running(self, state: PowerState) -> Floats:
        """1 for each generator that turns, (M, G)."""
        return np.asarray(
            (state.generator_s >= self.start_s) & (state.generator_cooling_s > 0), dtype=np.float64
        )

    def start_failed(self, state: PowerState) -> Floats:
        """1 for each generator that should turn by now and does not, (M, G)."""
        late = state.generator_wanted_s >= self.start_limit_s
        return np.asarray(late & (self.running(state) == 0), dtype=np.float64)


def _or(values: Floats, default: object) -> Floats:
    """Attribute values with the constant where there is none, always (1 or M, n)."""
    return np.atleast_2d(np.where(np.isnan(values), np.asarray(default, dtype=np.float64), values))

"""Which cords are live: from the sources forward over UPS and PDUs to the loads."""

from __future__ import annotations

import dataclasses

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats

from .battery import Battery
from .commands import Chain, Commands
from .sources import Sources
from .state import PowerState
from .topology import Edges, Feeds

TINY = 1e-9


class Cords:
    """The forward half of a step; ``live`` answers it."""

    def __init__(self, feeds: Feeds, sources: Sources, battery: Battery) -> None:
        self.feeds, self.sources, self.battery = feeds, sources, battery
        f = feeds
        self.pdu_to_loads = Edges(f.from_pdu[:, f.load_columns])
        self.ups_to_loads = Edges(f.from_ups[:, f.load_columns])
        self.ups_to_pdus = Edges(f.from_ups[:, f.pdu_columns])
        self.pdu_to_pdus = f.from_pdu[:, f.pdu_columns]
        self.nested = len(f.layers) > 1

    def bypass(self, state: PowerState, k: Commands) -> Floats | None:
        """1 where the output is the input: by command, failure or overload. None: nowhere."""
        if not np.count_nonzero(state.ups_latched):
            return k.bypass
        latched = (state.ups_latched > 0.5).astype(np.float64)
        return latched if k.bypass is None else np.maximum(latched, k.bypass)

    def live(
        self, state: PowerState, drive: Drive, k: Commands, bypass: Floats | None, dt_s: float
    ) -> Chain:
        """From the sources to the cords. On healthy mains the drive alone decides, once."""
        if not self.sources.calm(state, k.available):
            return self._forward(
                state, k, self.sources.step(state, drive, dt_s), bypass, dt_s, calm=False
            )
        if np.count_nonzero(state.breaker_tripped):
            return self._forward(state, k, self.sources.full, bypass, dt_s, calm=False)
        if k.calm is None:
            chain = self._forward(state, k, self.sources.full, bypass, dt_s, calm=True)
            if not chain.calm:
                return chain
            for field in dataclasses.fields(chain)[:-1]:
                getattr(chain, field.name).setflags(write=False)  # states share them
            k.calm = chain
        return k.calm

    def _forward(
        self,
        state: PowerState,
        k: Commands,
        mains: Floats,
        bypass: Floats | None,
        dt_s: float,
        *,
        calm: bool,
    ) -> Chain:
        """``calm``: every head has its mains, whatever the state is."""
        f = self.feeds
        ups_mains, ups_out = self._upses(state, k, mains, bypass, dt_s)
        pdu_on, pdu_cords = self._pdus(state, k, mains, ups_out)
        load_mains = mains[:, f.load_columns] + np.zeros(state.load_w.shape)
        cords = load_mains + self.ups_to_loads.forward(ups_out) + self.pdu_to_loads.forward(pdu_on)
        return Chain(
            ups_mains=ups_mains,
            ups_out=ups_out,
            pdu_on=pdu_on,
            on=np.minimum(cords, 1.0),
            load_mains=load_mains,
            pdu_mains=mains[:, f.pdu_columns] + np.zeros(pdu_on.shape),
            each_load=1.0 / np.maximum(cords, TINY),
            each_pdu=1.0 / np.maximum(pdu_cords, TINY),
            calm=calm and bool((ups_mains >= ups_out).all()),
        )

    def _upses(
        self, state: PowerState, k: Commands, mains: Floats, bypass: Floats | None, dt_s: float
    ) -> tuple[Floats, Floats]:
        """Shares of the step in which each UPS has an input, and an output; (M, U)."""
        given = mains[:, self.feeds.ups_columns] + np.zeros(state.charge.shape)
        if (given >= 1.0).all():
            return given, given * k.connected
        power_w = state.ups_in_w / np.maximum(state.ups_out, 0.05)
        carried = self.battery.runtime_s(state.charge, power_w, k.health) / dt_s
        carried = np.minimum(carried, 1.0 - given)
        out = given + (carried if bypass is None else (1.0 - bypass) * carried)
        return given, out * k.connected

    def _pdus(
        self, state: PowerState, k: Commands, mains: Floats, ups_out: Floats
    ) -> tuple[Floats, Floats]:
        """Which PDUs are live, and the sum of their live cords; (M, P)."""
        closed = k.closed
        if np.count_nonzero(state.breaker_tripped):
            state.breaker_tripped = np.where(k.reset > 0, 0.0, state.breaker_tripped)
            closed = closed * (state.breaker_tripped < 0.5)
        cords = mains[:, self.feeds.pdu_columns] + self.ups_to_pdus.forward(ups_out)
        if not self.nested:
            return closed * np.minimum(cords, 1.0), np.asarray(cords)
        on = np.zeros(cords.shape)
        for layer in self.feeds.layers:
            cords[:, layer] += on @ self.pdu_to_pdus[:, layer]
            on[:, layer] = closed[:, layer] * np.minimum(cords[:, layer], 1.0)
        return on, np.asarray(cords)

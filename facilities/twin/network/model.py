"""Jobs on the network, step by step: links slow jobs, slow GPUs slow jobs, jobs load both.

A step of a synchronous job takes

    t = max_i(t_compute / s_i) + t_inside + max(0, t_between − hidden),
    hidden = min(overlap · t_between, backward_share · t_compute),

with the slowest GPU's relative clock s_i, NVLink inside servers, and rings or trees between them
(reference: style_twin.md B4). Everything is quasi-static: a network settles within milliseconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from ..drive import Drive
from ..site import Flags, Floats, Ints, Site
from ..state import Key, Values
from .constants import NetworkConstants
from .jobs import Jobs
from .pace import SLOWEST, Commands, Demand, Healthy, Terms, pace
from .plan import Plan, check_weights, make_plan
from .solution import Solution, arc_capacity, merged, solve
from .state import NetworkState
from .topology import DEFAULT_GBPS, Fabric
from .values import VALUES

KEPT_PLANS = 64
KEPT_SOLUTIONS = 16


class Network:
    """Fabric and jobs of a site.

    ``route_weights`` (arcs,) switches from even ECMP to shares by bandwidth (adaptive routing).
    Routes are worked out once for each pattern of live links and servers, rates once for each set
    of capacities; a step whose inputs are as before costs a comparison.
    """

    def __init__(
        self,
        site: Site,
        parameters: NetworkConstants | None = None,
        *,
        route_weights: Floats | None = None,
    ) -> None:
        self.site = site
        self.parameters = parameters or NetworkConstants()
        self.fabric = Fabric(site)
        self.jobs = Jobs(site, self.fabric)
        check_weights(route_weights, self.fabric.arcs)
        self._weights = route_weights
        self._plans: dict[bytes, Plan] = {}
        self._solutions: dict[tuple[bytes, ...], tuple[Solution, Terms]] = {}
        self._memo: tuple[tuple[object, ...], dict[str, Floats]] | None = None
        jobs = self.jobs
        self._compute = jobs.column("compute_s")
        self._by_job = jobs.mean_by_job()
        self._utilisation = jobs.column("utilisation")
        self._group_of_job = np.array([group.job for group in jobs.groups], dtype=np.int64)
        self._size = np.array([[len(group.servers) for group in jobs.groups]], dtype=np.float64)
        self._demand: Demand | None = None
        self.link_ratings = self._link_ratings()
        self._inner = (
            self.fabric.is_switch[self.fabric.tail] & self.fabric.is_switch[self.fabric.head]
        )
        self._healthy_by: dict[bytes, Healthy] = {}

    def initial(self, drive: Drive) -> NetworkState:
        """The state of the drives with every GPU at full clock."""
        return self.settled(drive)

    def settled(
        self,
        drive: Drive,
        *,
        gpu_speed: Floats | None = None,
        link_health: Floats | None = None,
        background_gbps: Floats | None = None,
        crossings: Floats | None = None,
    ) -> NetworkState:
        """The state under these drives, clocks (members, gpus), health and other traffic (members,
        links), crossings (members, 1); full clocks, healthy links, no other traffic and servers in
        order where not given.
        """
        members = drive.members
        gpus, links = self.site.count("gpu"), self.site.count("link")
        jobs = self.site.count("job")

        def full(count: int, value: float, given: Floats | None = None) -> Floats:
            return np.full((members, count), value) if given is None else given + 0.0

        state = NetworkState(
            gpu_util=full(gpus, 0.0),
            busy_ratio=full(gpus, 1.0),
            link_gbps=full(links, 0.0),
            link_capacity_gbps=full(links, 0.0),
            link_health=full(links, 1.0, link_health),
            background_gbps=full(links, 0.0, background_gbps),
            crossings=full(1, 1.0, crossings),
            step_time_s=full(jobs, 0.0),
            throughput=full(jobs, 0.0),
            exposed=full(jobs, 0.0),
            running=full(jobs, 0.0),
        )
        self.step(state, drive, gpu_speed=full(gpus, 1.0, gpu_speed), dt_s=1.0)
        return state

    def healthy_step_s(self, crossings: Floats) -> Floats:
        """Step time of every job in the healthy site, shape (members, jobs)."""
        return np.asarray(self._healthy(crossings).step_s @ self._by_job)

    def commands(self, drive: Drive) -> Commands:
        """What a step needs of the drive; hand it to ``step`` for as long as the drive stays."""
        share = drive["link", "capacity"] * (drive["link", "enabled"] > 0.5)
        demand, in_service = self._asked(drive), drive["server", "in_service"].copy()
        key = (share.tobytes(), in_service.tobytes(), *demand.key)
        return Commands(key, share, in_service, demand)

    def step(
        self,
        state: NetworkState,
        drive: Drive,
        *,
        gpu_speed: Floats,
        dt_s: float,
        told: Commands | None = None,
    ) -> None:
        """Bring the state to what the drives and ``gpu_speed`` (members, gpus) allow.

        ``gpu_speed`` is a GPU's clock relative to unthrottled; 0 when it is lost or without power.
        ``told`` spares reading the drive.
        """
        k = told or self.commands(drive)
        inputs = (
            state.link_health.tobytes(),
            state.background_gbps.tobytes(),
            state.crossings.tobytes(),
            gpu_speed.tobytes(),
            k.key,
        )
        if self._memo is None or self._memo[0] != inputs:
            fields = self._advance(state, k, gpu_speed)
            for value in fields.values():
                value.setflags(write=False)  # shared with the next states: replaced, never changed
            self._memo = (inputs, fields)
        for name, value in self._memo[1].items():
            setattr(state, name, value)

    def values(
        self, state: NetworkState, drive: Drive, keys: Collection[Key] | None = None
    ) -> Values:
        """What instruments of links, GPUs and jobs would show if they were perfect, or some."""
        wanted = VALUES if keys is None else [key for key in keys if key in VALUES]
        return {key: VALUES[key](state, drive) for key in wanted}

    def observe(self, state: NetworkState, readings: Mapping[Key, Floats]) -> None:
        """Put what instruments say into the state: links that are down or carry less than rated,
        and traffic that the jobs do not explain. Shapes (1, n), NaN where unknown.
        """
        from .observe import observe_links

        observe_links(self, state, readings)

    def demanded(self, state: NetworkState, util: Floats) -> Floats:
        """The drive ``gpu.demand`` that explains measured utilisation (0..1, members x gpus)."""
        return np.clip(util / np.maximum(state.busy_ratio, 0.05), 0.0, 1.0)

    # what a step is made of

    def solution(self, state: NetworkState, drive: Drive) -> Solution:
        """Communication of every group now."""
        share = drive["link", "capacity"] * (drive["link", "enabled"] > 0.5) * state.link_health
        in_service = drive["server", "in_service"]
        return self._solve(share, state.background_gbps, in_service, state.crossings)[0]

    def plan(self, state: NetworkState, drive: Drive) -> Plan:
        """What the first member's jobs put on the fabric in a step."""
        share = drive["link", "capacity"] * (drive["link", "enabled"] > 0.5) * state.link_health
        return self._plan(np.concatenate([share[0] > 0, drive["server", "in_service"][0] > 0.5]))

    def _advance(
        self,
        state: NetworkState,
        k: Commands,
        gpu_speed: Floats,
    ) -> dict[str, Floats]:
        """The fields of the state that follow from the inputs. The arrays are new."""
        share, demand = k.share * state.link_health, k.demand
        solution, terms = self._solve(share, state.background_gbps, k.in_service, state.crossings)
        jobs, p = self.jobs, self.parameters
        capacity = np.zeros((state.members, 1)) + share * self.link_ratings
        ratio = (gpu_speed > 0).astype(np.float64)
        if not jobs.groups:
            nothing = np.zeros((state.members, self.site.count("job")))
            return {
                "busy_ratio": ratio,
                "gpu_util": demand.gpus * ratio,
                "link_capacity_gbps": capacity,
                "link_gbps": np.clip(state.background_gbps, 0.0, capacity),
                **dict.fromkeys(("step_time_s", "throughput", "exposed", "running"), nothing),
            }
        healthy = self._healthy(state.crossings)
        speed = gpu_speed[:, jobs.gpus]
        counted = speed if solution.out is None else np.where(solution.out, 1.0, speed)
        slowest = np.minimum.reduceat(counted, jobs.starts, axis=1)
        found = pace(terms, self._compute, slowest, p)
        running = found.running * (demand.jobs > 0)
        rate = running / found.step_s
        # GPUs: busy for their own part of the step, waiting in a collective for the rest
        own = self._busy(found.step_s, speed) * healthy.per_busy
        own *= demand.jobs[:, jobs.group_of]
        own *= speed > 0
        if solution.out is not None:
            own *= ~solution.out
        ratio[:, jobs.gpus] = own
        # jobs
        share_running = np.maximum(running @ self._by_job, 1e-12)  # of a job's groups
        per_job = rate @ self._by_job
        ready = per_job > 0
        # links: mean load follows how often steps come
        load = self._link_load(solution, rate * demand.steps * state.crossings, running)
        load += state.background_gbps
        np.maximum(load, 0.0, out=load)
        np.minimum(load, capacity, out=load)
        return {
            "busy_ratio": ratio,
            "gpu_util": np.minimum(demand.gpus * ratio, 1.0),
            "link_capacity_gbps": capacity,
            "link_gbps": load,
            "step_time_s": np.where(
                ready, share_running / np.maximum(per_job, 1e-12), np.asarray(p.stalled_s)
            ),
            "throughput": (rate * healthy.step_s * solution.servers / self._size) @ self._by_job,
            "exposed": (rate * found.exposed_s) @ self._by_job / share_running,
            "running": ready.astype(np.float64),
        }

    def _healthy(self, crossings: Floats) -> Healthy:
        """Steps and busy shares with every link, server and GPU as new."""
        key = crossings.tobytes()
        found = self._healthy_by.get(key)
        if found is None:
            jobs, p = self.jobs, self.parameters
            links = np.ones((len(crossings), self.site.count("link")))
            servers = np.ones((len(crossings), self.site.count("server")))
            terms = self._solve(links, links * 0.0, servers, crossings)[1]
            step = pace(terms, self._compute, np.ones((1, len(jobs.groups))), p).step_s
            busy = self._busy(step, np.ones((1, len(jobs.gpus))))
            found = Healthy(step, 1.0 / busy)
            if len(self._healthy_by) >= KEPT_SOLUTIONS:
                self._healthy_by.clear()
            self._healthy_by[key] = found
        return found

    def _asked(self, drive: Drive) -> Demand:
        jobs, asked = self.jobs, drive["gpu", "demand"]
        key = (asked.tobytes(), drive["job", "demand"].tobytes())
        if self._demand is None or self._demand.key != key:
            gpus = np.clip(asked, 0.0, 1.0)
            wanted = np.clip(drive["job", "demand"], 0.0, 1.0)[:, self._group_of_job]
            steps = wanted
            if jobs.groups:
                mean = np.add.reduceat(gpus[:, jobs.gpus], jobs.starts, axis=1)
                mean = mean / np.maximum(jobs.gpus_per_group, 1)
                steps = wanted * mean / self._utilisation
            self._demand = Demand(key, gpus, wanted, steps)
        return self._demand

    def _busy(self, step_s: Floats, speed: Floats) -> Floats:
        """Busy share of the jobs' GPUs in a step, waiting counted as ``spin_share``."""
        spin = np.asarray(self.parameters.spin_share)
        working = (self._compute / step_s)[:, self.jobs.group_of]
        working = np.minimum(working / np.maximum(speed, SLOWEST), 1.0)
        return np.asarray(spin + (1.0 - spin) * working)

    def _solve(
        self, share: Floats, background: Floats, in_service: Floats, crossings: Floats
    ) -> tuple[Solution, Terms]:
        key = tuple(array.tobytes() for array in (share, background, in_service, crossings))
        found = self._solutions.get(key)
        if found is None:
            solution = self._solved(
                np.maximum(share, 0.0), np.maximum(background, 0.0), in_service, crossings
            )
            found = solution, Terms.of(solution, self.jobs, self.parameters)
            while len(self._solutions) >= KEPT_SOLUTIONS:
                self._solutions.pop(next(iter(self._solutions)))
            self._solutions[key] = found
        return found

    def _solved(
        self, share: Floats, background: Floats, in_service: Floats, crossings: Floats
    ) -> Solution:
        up = share > 0
        members = max(len(share), len(np.asarray(self.parameters.fabric_share).reshape(-1)))
        patterns = np.concatenate([up, in_service > 0.5], axis=1)
        unique, which = np.unique(patterns, axis=0, return_inverse=True)
        which = np.broadcast_to(which.reshape(-1), (members,))
        share = np.broadcast_to(share, (members, share.shape[1]))
        capacity = arc_capacity(self.fabric, self.jobs, self.parameters, share)
        other = self._on_arcs(np.broadcast_to(background, share.shape))
        crossings = np.broadcast_to(crossings, (members, 1))
        whole: Solution | None = None
        for number, pattern in enumerate(unique):
            rows = np.nonzero(which == number)[0]
            plan = self._plan(pattern)
            part = solve(
                plan,
                self.jobs,
                self._constants_of(rows, members),
                capacity[rows],
                other[rows],
                self._inner,
                crossings[rows],
            )
            whole = merged(whole, part, rows, members)
        assert whole is not None  # noqa: S101  (there is at least one member)
        out = in_service[:, self.jobs.server_of] < 0.5 if len(self.jobs.gpus) else None
        return whole._replace(out=out if out is not None and out.any() else None)

    def _plan(self, pattern: Flags) -> Plan:
        key = pattern.tobytes()
        plan = self._plans.get(key)
        if plan is None:
            links = self.site.count("link")
            rows = self.fabric.link_row
            edge_up = np.where(rows >= 0, pattern[:links][rows] if links else True, True)
            plan = make_plan(
                self.fabric,
                self.jobs,
                np.repeat(edge_up, 2).astype(bool),
                pattern[links:].astype(np.float64),
                ecmp_excess=float(np.mean(self.parameters.ecmp_excess)),
                weights=self._weights,
            )
            while len(self._plans) >= KEPT_PLANS:
                self._plans.pop(next(iter(self._plans)))
            self._plans[key] = plan
        return plan

    def _constants_of(self, rows: Ints, members: int) -> NetworkConstants:
        """The constants of some members; those that are the same for all stay as they are."""
        if len(rows) == members:
            return self.parameters
        changes: dict[str, float | Floats] = {}
        for field in dataclasses.fields(self.parameters):
            value = np.asarray(getattr(self.parameters, field.name))
            if value.ndim == 2 and len(value) == members > 1:
                changes[field.name] = value[rows]
        return self.parameters.replaced(**changes)

    def _link_load(self, solution: Solution, steps: Floats, running: Floats | Flags) -> Floats:
        """(members, links) mean Gb/s of the fuller direction."""
        links = self.site.count("link")
        both = np.concatenate([steps, running], axis=1)
        if len(solution.link_gb) == 1:
            load = (solution.link_gb[0][1] @ both.T).T
        else:
            load = np.zeros((len(steps), 2 * links))
            for rows, plan_gb in solution.link_gb:
                load[rows] = (plan_gb @ both[rows].T).T
        return np.maximum(load[:, :links], load[:, links:])

    def _on_arcs(self, links: Floats) -> Floats:
        """(members, links) → (members, arcs), both directions alike; 0 on cables."""
        arcs = np.zeros((len(links), self.fabric.arcs))
        placed = np.repeat(self.fabric.link_row >= 0, 2)
        arcs[:, placed] = links[:, np.repeat(self.fabric.link_row, 2)[placed]]
        return arcs

    def _link_ratings(self) -> Floats:
        """Rated Gb/s of every link asset, shape (links,); 0 where it connects nothing."""
        edges = self.fabric.edge_of_link
        ratings = self.site.attribute("link", "capacity_gbps", DEFAULT_GBPS)
        if self.fabric.arcs:
            ratings = np.where(
                edges >= 0, self.fabric.rated_gbps[2 * np.maximum(edges, 0)], ratings
            )
        return np.where(edges >= 0, ratings, 0.0)

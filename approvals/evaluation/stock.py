"""Simulated plants and what actions do to them, kept in a folder: a second run spares the physics.

Everything kept depends on the plant's code and the case alone, never on the agent; the folder may be
thrown away at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from approvals.evaluation.cases import Case
from approvals.evaluation.harm import Harm
from approvals.evaluation.recorded import Recorded
from facilities.demo.plant.points import FacilitySpec

_SOURCES: Final = ("facilities/demo", "approvals/evaluation")


@cache
def code_hash() -> str:
    """Of everything that the course of a case depends on."""
    root = Path(settings.BASE_DIR)
    made = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix == ".py" and "tests" not in path.parts:
                if folder == "approvals/evaluation" and path.stem not in _PHYSICS:
                    continue
                made.update(path.read_bytes())
    made.update((root / "facilities/demo/facility.yaml").read_bytes())
    return made.hexdigest()


_PHYSICS: Final = frozenset({"breaks", "harm", "plant", "recorded"})


class _Writer(pickle.Pickler):
    """Writes a plant without its facility, which every plant shares."""

    def __init__(self, file: io.BytesIO, facility: FacilitySpec) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._facility = facility

    def persistent_id(self, obj: Any) -> str | None:
        return "facility" if obj is self._facility else None


class _Reader(pickle.Unpickler):
    """Reads what `_Writer` wrote, from a folder that only this command writes to."""

    def __init__(self, file: io.BytesIO, facility: FacilitySpec) -> None:
        super().__init__(file)
        self._facility = facility

    def persistent_load(self, pid: Any) -> FacilitySpec:
        return self._facility


class Stock:
    """Keeps plants and harms of cases; without a folder it keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def plant(self, case: Case, facility: FacilitySpec) -> Recorded | None:
        """The kept plant of a case; None where there is none that the present code made."""
        path = self._path(case, "plant")
        if path is None or not path.exists():
            return None
        sim: Recorded = _Reader(io.BytesIO(path.read_bytes()), facility).load()
        return sim

    def keep_plant(self, case: Case, sim: Recorded) -> None:
        """Keep it as it is now."""
        path = self._path(case, "plant")
        if path is not None:
            made = io.BytesIO()
            _Writer(made, sim.facility).dump(sim)
            path.write_bytes(made.getvalue())

    def harm(self, case: Case, at_s: float, writes: Sequence[Any], ask: Callable[[], Harm]) -> Harm:
        """What these writes do at a time of the case, asked once."""
        said = json.dumps([at_s, list(writes)], sort_keys=True, default=str)
        path = self._path(case, f"harm-{hashlib.sha256(said.encode()).hexdigest()[:16]}")
        if path is not None and path.exists():
            return Harm(**json.loads(path.read_text(encoding="utf-8")))
        harm = ask()
        if path is not None:
            path.write_text(json.dumps(asdict(harm)), encoding="utf-8")
        return harm

    def _path(self, case: Case, what: str) -> Path | None:
        if self._folder is None:
            return None
        key = hashlib.sha256(f"{code_hash()} {case!r}".encode()).hexdigest()[:16]
        return self._folder / f"{case.name}-{key}-{what}"

"""The plant's own record of setpoint writes, and the fence that keeps old workers out."""

from dataclasses import dataclass
from pathlib import Path

from facilities.demo.plant.journal import Journal


@dataclass(frozen=True)
class Write:
    """One setpoint write that was carried out; ``fence`` as the caller gave it, if it did."""

    ts: str
    tag: str
    value: float
    previous: float
    key: str
    fence: int | None = None

    @property
    def asset(self) -> str:
        """The asset that was written to."""
        return asset_of(self.tag)


def asset_of(tag: str) -> str:
    """The asset of a point's tag: all but its last part."""
    return tag.rsplit(".", 1)[0]


class WriteLog(Journal[Write]):
    """Writes in order and by key; re-read at start, so keys, fences and setpoints survive."""

    def __init__(self, path: Path) -> None:
        self._fences: dict[str, int] = {}
        super().__init__(path, of=Write)

    def last_values(self) -> dict[str, float]:
        """The last value written to each setpoint."""
        return {write.tag: write.value for write in self._entries}

    def fence(self, asset: str) -> int:
        """The newest fence that wrote to an asset; -1 where none did."""
        return self._fences.get(asset, -1)

    def _remember(self, entry: Write) -> None:
        super()._remember(entry)
        if entry.fence is not None:
            self._fences[entry.asset] = max(entry.fence, self.fence(entry.asset))

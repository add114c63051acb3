"""The embedding models that a server answers by: its own, and those of a folder, on demand."""

from pathlib import Path

from kvserve.embedder import Embedder
from kvserve.engine.state import LoadState

MAX_LOADED = 2  # beside the server's own: about 0.5 GB each


class Embedders:
    """The default embedder, and each subfolder of `folder` that sentence-transformers saved.

    A folder's model is loaded when a request first names it, without a restart; so a new model
    can be tried beside the one that serves. The least recently loaded one makes way for a third.
    """

    def __init__(self, default: Embedder | None, *, folder: Path | None = None) -> None:
        self.default = default
        self.folder = folder
        self._loaded: dict[str, Embedder] = {}

    @property
    def names(self) -> list[str]:
        """Every name that a request may give, the default first."""
        own = [self.default.model_name] if self.default else []
        return own + [name for name in self._available() if name not in own]

    def find(self, name: str) -> Embedder | None:
        """The embedder of that name (letter case aside), the default for an empty one."""
        if self.default is not None and name.lower() in ("", self.default.model_name.lower()):
            return self.default
        wanted = next((key for key in self._available() if key.lower() == name.lower()), None)
        if wanted is None or self.folder is None:
            return None
        found = self._loaded.get(wanted)
        if found is None or found.state in (LoadState.FAILED, LoadState.STOPPED):
            found = self._load(wanted, self.folder / wanted)
        return found

    def stop(self) -> None:
        """Ask every thread to end. Safe in a signal handler."""
        for embedder in (self.default, *self._loaded.values()):
            if embedder is not None:
                embedder.stop()

    def _available(self) -> list[str]:
        if self.folder is None or not self.folder.is_dir():
            return []
        found = (path for path in self.folder.iterdir() if (path / "modules.json").is_file())
        return sorted(path.name for path in found)

    def _load(self, name: str, path: Path) -> Embedder:
        self._loaded.pop(name, None)
        while len(self._loaded) >= MAX_LOADED:
            self._loaded.pop(next(iter(self._loaded))).stop()
        graphs = self.default.graphs if self.default else None
        embedder = Embedder(path, model_name=name, graphs=graphs)
        embedder.start()
        self._loaded[name] = embedder
        return embedder

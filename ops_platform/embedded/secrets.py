"""Secrets of the embedded stack: generated once, files of mode 0600 under DATA_DIR/secrets."""

import os
import secrets
from pathlib import Path

NAMES = ("django-key", "postgres-admin", "postgres", "redis", "plant-api")


def write_secret(data_dir: Path, name: str, value: str) -> Path:
    """Write `value` so that no other user can read it, atomically."""
    folder = data_dir / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    partial = folder / f".{name}.new"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    path = folder / name
    partial.replace(path)
    return path


def ensure_secrets(data_dir: Path) -> None:
    """Create each missing secret; existing ones are never changed."""
    for name in NAMES:
        if not (data_dir / "secrets" / name).exists():
            write_secret(data_dir, name, secrets.token_urlsafe(32))

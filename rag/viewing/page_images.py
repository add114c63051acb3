"""Pages of PDF files as pictures, drawn in a process of their own and kept on disk.

PDFium is not thread-safe and reads files from anybody, so the web process never loads it: a
hostile file costs one child process, which the kernel ends at its limits. About 0.3 s a page; a
page that was drawn before is read from disk.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from django.conf import settings

from rag.models import StoredFile

logger = logging.getLogger(__name__)

#: Sizes that are drawn; 1 is 72 pixels per inch.
SCALES = (1.0, 1.5, 2.0, 3.0)
SECONDS, MEMORY_MIB = 15, 1024
MAX_PIXELS = 12_000_000
MAX_CACHE_BYTES = 256 * 2**20
# Drawing children at one time in this process; others wait.
AT_ONCE, WAIT_S = 2, 20.0
# Drawn pages between two looks at the size of the cache.
PRUNE_EVERY = 25
PDF = "application/pdf"

_PNG = b"\x89PNG\r\n\x1a\n"
_CHILD = Path(__file__).with_name("render_child.py")
_slots = threading.BoundedSemaphore(AT_ONCE)
_drawn = 0


class PageError(Exception):
    """A page that cannot be shown; `code` is no_such_page, unreadable, too_slow or busy."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def page_image(*, sha256: str, page: int, scale: float) -> bytes:
    """One page of a stored PDF as PNG. Raises PageError; `scale` is one of SCALES."""
    kept = _folder() / f"{sha256}-{page}-{scale:g}.png"
    try:
        picture = kept.read_bytes()
        os.utime(kept)
        return picture
    except OSError:
        pass
    data = (
        StoredFile.objects.filter(pk=sha256, media_type=PDF).values_list("data", flat=True).first()
    )
    if data is None:
        raise PageError("no_such_page", "this revision has no PDF file")
    picture = draw(bytes(data), page=page, scale=scale)
    _keep(kept, picture)
    return picture


def draw(data: bytes, *, page: int, scale: float, seconds: int = SECONDS) -> bytes:
    """Draw one page in a child process under limits; at most AT_ONCE at one time."""
    if not _slots.acquire(timeout=WAIT_S):
        raise PageError("busy", "too many pages are being drawn; try again in a moment")
    try:
        done = subprocess.run(
            [
                sys.executable, "-I", "-B", str(_CHILD), str(page), f"{scale:g}", str(MAX_PIXELS),
                str(seconds), str(MEMORY_MIB),
            ],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            timeout=seconds + 5,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PageError("too_slow", f"page {page} takes more than {seconds} s to draw") from error
    finally:
        _slots.release()
    if done.stdout.startswith(_PNG):
        return done.stdout
    try:
        refused = json.loads(done.stdout)
    except ValueError:
        raise PageError(
            "unreadable", f"page {page} crashed the renderer (exit {done.returncode})"
        ) from None
    raise PageError(refused["error"], refused["detail"])


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "page-images"


def _keep(kept: Path, picture: bytes) -> None:
    """Best effort: a full or read-only disk costs speed only."""
    global _drawn
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".part", delete=False) as part:
            part.write(picture)
        Path(part.name).replace(kept)
        _drawn += 1
        if _drawn % PRUNE_EVERY == 1:
            cache_prune()
    except OSError as error:
        logger.warning("page images are not kept in %s: %s", kept.parent, error)


def cache_prune(*, max_bytes: int = MAX_CACHE_BYTES) -> int:
    """Remove the pictures unused for longest until the rest fits. Returns how many went."""
    found = []
    for path in _folder().glob("*.png"):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((stat.st_mtime, stat.st_size, path))
    total, removed = sum(size for _, size, _ in found), 0
    for _, size, path in sorted(found):
        if total <= max_bytes:
            break
        path.unlink(missing_ok=True)
        total, removed = total - size, removed + 1
    return removed

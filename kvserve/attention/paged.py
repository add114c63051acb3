"""Which attention a context runs: paged where it loads and passes its checks, else stock."""

import ctypes
import logging
from typing import Any

import kvserve.native  # noqa: F401  # before ggml is loaded: it sets how OpenMP's threads wait
from kvserve.attention.extension import Hook, Stats, Unavailable, load
from kvserve.attention.layout import Ggml, check

log = logging.getLogger("kvserve")

PAGED = "paged"
STOCK = "stock"


class Attention:
    """The attention of one context: `install` before it is made, `close` after it is freed.

    `kind` is "paged" or "stock"; `reason` says why it is stock although paged was asked for.
    """

    def __init__(self, requested: str, *, threads: int) -> None:
        self.kind = STOCK
        self.reason = ""
        self._hook: Hook | None = None
        if requested != PAGED:
            return
        try:
            self._hook = _checked_hook(threads)
        except (Unavailable, OSError, AttributeError) as error:
            self._fall_back(str(error))
            return
        self.kind = PAGED

    def install(self, params: Any) -> None:
        """Put the kernel under the context that these parameters will make."""
        if self._hook is None:
            return
        callback = ctypes.cast(self._hook.library.pa_callback, ctypes.c_void_p)
        params.cb_eval = ctypes.cast(callback, type(params.cb_eval))
        params.cb_eval_user_data = self._hook.handle

    def settle(self) -> None:
        """After the first steps: if no node at all was eligible, say stock, with the reason."""
        if self._hook is None:
            return
        stats = self._hook.stats()
        if stats.paged_nodes == 0:
            self.enable(False)
            why = stats.stock_reason or "it has no flash-attention node"
            self._fall_back(f"this model's attention is not for the paged kernel: {why}")
        else:
            detail = f"{self._hook.isa.name.lower()} kernel"
            if stats.stock_nodes:
                self.reason = f"some layers run stock: {stats.stock_reason}"
                detail = f"{detail}; {self.reason}"
            log.info("attention: paged (%s)", detail)

    def enable(self, enabled: bool) -> None:
        """Switch between paged and stock for the next steps."""
        if self._hook is not None:
            self._hook.enable(enabled)

    def stats(self) -> Stats | None:
        """Counts and times; None without a hook."""
        return self._hook.stats() if self._hook else None

    def close(self) -> None:
        """Free the kernel; its context must be gone."""
        if self._hook is not None:
            self._hook.close()
        self._hook = None

    def _fall_back(self, reason: str) -> None:
        self.kind, self.reason = STOCK, reason
        log.warning("attention: stock, although paged was asked for: %s", reason)


def _checked_hook(threads: int) -> Hook:
    from llama_cpp._ggml import libggml

    ggml = Ggml(libggml)
    try:
        hook = Hook(load(), threads=threads, is_host=libggml.ggml_backend_buffer_is_host)
        try:
            difference = check(hook, ggml)
        except Unavailable:
            hook.close()
            raise
        log.debug("paged attention differs from stock by %.1e on the test nodes", difference)
        return hook
    finally:
        ggml.close()

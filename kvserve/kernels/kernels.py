"""Which kernels a context runs: our own where they load and pass their checks, else ggml's."""

import ctypes
import logging
from contextlib import suppress
from typing import Any

import kvserve.native  # noqa: F401  # before ggml is loaded: it sets how OpenMP's threads wait
from kvserve.kernels.crowd import Crowd
from kvserve.kernels.extension import Hook, Stats, Unavailable, load
from kvserve.kernels.layout import Ggml, check_attention, check_layout, check_product

log = logging.getLogger("kvserve")

PAGED = "paged"  # attention
PACKED = "packed"  # products
STOCK = "stock"
NOTHING = Stats(0, 0, 0.0, 0.0, "")


class Kernel:
    """One kind of node; `kind` is what runs, `reason` why it is stock although more was asked."""

    def __init__(self, name: str, requested: str) -> None:
        self.name = name
        self.wanted = requested if requested != STOCK else ""
        self.kind = self.wanted or STOCK
        self.reason = ""

    @property
    def is_own(self) -> bool:
        return self.kind != STOCK

    def fall_back(self, reason: str) -> None:
        """Run ggml's, and say why."""
        if self.is_own:
            self.kind, self.reason = STOCK, reason
            log.warning("%s: stock, although %s was asked for: %s", self.name, self.wanted, reason)

    def settle(self, stats: Stats) -> None:
        """After the first steps: if no node was eligible it is stock, whatever was asked for."""
        if not self.is_own:
            return
        if not stats.taken:
            why = stats.stock_reason or "it has no such node"
            self.fall_back(f"this model is not for the {self.wanted} kernel: {why}")
            return
        if stats.stock:
            self.reason = f"some nodes run stock: {stats.stock_reason}"
        log.info("%s: %s", self.name, "; ".join(filter(None, (self.kind, self.reason))))


class Kernels:
    """The kernels of one context: `install` before it is made, `close` after it is freed."""

    def __init__(
        self, *, attention: str, products: str, threads: int, packed_bytes: int = 0
    ) -> None:
        self.attention = Kernel("attention", attention)
        self.products = Kernel("products", products)
        self.packed_room = packed_bytes if self.products.is_own else 0
        self.crowd: Crowd | None = None
        self._hook: Hook | None = None
        if not (self.attention.is_own or self.products.is_own):
            with suppress(Unavailable):
                self.crowd = Crowd(load(), threads=threads)
            return
        try:
            self._hook = self._checked_hook(threads)
        except (Unavailable, OSError, AttributeError) as error:
            self.attention.fall_back(str(error))
            self.products.fall_back(str(error))
            self.packed_room = 0
            return
        self._hook.allow(self.packed_room)
        self.crowd = Crowd(self._hook.library, threads=threads)
        self._choose()

    def install(self, params: Any) -> None:
        """Put the kernels under the context that these parameters will make."""
        if self._hook is None:
            return
        callback = ctypes.cast(self._hook.library.hook_callback, ctypes.c_void_p)
        params.cb_eval = ctypes.cast(callback, type(params.cb_eval))
        params.cb_eval_user_data = self._hook.handle

    def settle(self) -> None:
        """Call after first steps that hold a batch of at least eight tokens."""
        if self._hook is not None:
            attention, products = self._hook.stats()
            self.attention.settle(attention)
            self.products.settle(products)
            self._choose()

    def enable(self, enabled: bool) -> None:
        """Switch between own and stock kernels for the next steps."""
        if self._hook is not None:
            self._hook.enable(
                attention=enabled and self.attention.is_own,
                product=enabled and self.products.is_own,
            )

    def stats(self) -> tuple[Stats, Stats]:
        """Counts and times of attention and of products; zeros where everything is stock."""
        return self._hook.stats() if self._hook else (NOTHING, NOTHING)

    @property
    def packed(self) -> int:
        """Bytes of weights that are kept packed."""
        return self._hook.kept if self._hook else 0

    def close(self) -> None:
        """Free the kernels; their context must be gone."""
        if self.crowd is not None:
            self.crowd.close()
        if self._hook is not None:
            self._hook.close()
        self.crowd = self._hook = None

    def _choose(self) -> None:
        self.enable(True)

    def _checked_hook(self, threads: int) -> Hook:
        from llama_cpp._ggml import libggml

        ggml = Ggml(libggml)
        hook = None
        try:
            hook = Hook(load(), threads=threads, is_host=libggml.ggml_backend_buffer_is_host)
            check_layout(hook, ggml)
            for kernel, check in (
                (self.attention, check_attention),
                (self.products, check_product),
            ):
                try:
                    difference = check(hook, ggml) if kernel.is_own else 0.0
                    log.debug(
                        "%s differs from stock by %.1e on test nodes", kernel.name, difference
                    )
                except Unavailable as error:
                    kernel.fall_back(str(error))
            return hook
        except Unavailable:
            if hook is not None:
                hook.close()
            raise
        finally:
            ggml.close()

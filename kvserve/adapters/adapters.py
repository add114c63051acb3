"""The LoRA adapters of a loaded model."""

import ctypes
import logging
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from kvserve.adapters.adapter_file import AdapterFile, AdapterRefused
from kvserve.errors import RequestRefused
from kvserve.native import lib, listening

log = logging.getLogger("kvserve")

NO_ADAPTER = ""  # the key of the base model


class _Loaded(NamedTuple):
    file: AdapterFile
    handle: Any


class Adapters:
    """Native adapters by key; a key names an adapter and its content (`AdapterFile.key`).

    `files`, by name, is what new requests may choose; any thread may read it. Everything else
    belongs to the engine's thread. An unloaded adapter stays in memory until no sequence needs it.
    """

    def __init__(self, model: Any, context: Any, *, max_loras: int) -> None:
        self.model = model
        self.context = context
        self.max_loras = max_loras
        self.files: dict[str, AdapterFile] = {}
        self._loaded: dict[str, _Loaded] = {}
        self._current = NO_ADAPTER

    def load(self, file: AdapterFile) -> None:
        """Make a checked file available under its name.

        Raises:
            AdapterRefused: the name is taken, there are `max_loras`, or it does not fit the model.
        """
        if file.name in self.files:
            raise AdapterRefused(
                f"the LoRA adapter '{file.name}' is loaded already: unload it first",
                param="lora_name",
            )
        if len(self.files) >= self.max_loras:
            raise AdapterRefused(
                f"{self.max_loras} LoRA adapters are loaded, as many as --max-loras allows: unload"
                " one first",
                param="lora_name",
            )
        if file.key not in self._loaded:  # unloaded and loaded again while a request ran
            self._loaded[file.key] = _Loaded(file, self._new_handle(file))
        self.files = {**self.files, file.name: file}
        log.info(
            "LoRA adapter %s: rank %d, %d KiB, from %s",
            file.name,
            file.rank,
            file.bytes >> 10,
            file.path,
        )

    def _new_handle(self, file: AdapterFile) -> Any:
        complaints: list[str] = []
        with listening(lambda line: complaints.append(line) if "failed to" in line else None):
            handle = lib.llama_adapter_lora_init(self.model, os.fsencode(file.path))
        if not handle:
            why = complaints[-1].partition(": ")[2] if complaints else "llama.cpp refused it"
            raise AdapterRefused(
                f"the LoRA adapter '{file.name}' does not fit this model: {why}", param="lora_path"
            )
        return handle

    def unload(self, name: str) -> AdapterFile:
        """Refuse it to new requests; `free_unused` frees it once its last sequence has ended.

        Raises:
            RequestRefused: none of that name.
        """
        file = self.files.get(name)
        if file is None:
            raise RequestRefused(f"no LoRA adapter '{name}' is loaded", param="lora_name")
        self.files = {key: value for key, value in self.files.items() if key != name}
        return file

    def require(self, key: str) -> None:
        """Raise RequestRefused if sequences of this key can't be computed any more."""
        if key != NO_ADAPTER and key not in self._loaded:
            name = key.rpartition("@")[0]
            raise RequestRefused(f"the LoRA adapter '{name}' was unloaded", param="model")

    def use(self, key: str) -> None:
        """Compute the next batches under this adapter."""
        if key == self._current:
            return
        if key == NO_ADAPTER:
            lib.llama_set_adapters_lora(self.context, None, 0, None)
        else:
            handles = (lib.llama_adapter_lora_p_ctypes * 1)(self._loaded[key].handle)
            scales = (ctypes.c_float * 1)(1.0)
            lib.llama_set_adapters_lora(self.context, handles, 1, scales)
        self._current = key

    @property
    def retired(self) -> list[str]:
        """Keys that are unloaded but not freed."""
        kept = {file.key for file in self.files.values()}
        return [key for key in self._loaded if key not in kept]

    def free_unused(self, in_use: Iterable[str]) -> None:
        """Free what is retired and in no sequence's way."""
        needed = set(in_use)
        for key in self.retired:
            if key not in needed:
                if key == self._current:
                    self.use(NO_ADAPTER)
                lib.llama_adapter_lora_free(self._loaded.pop(key).handle)
                log.info("LoRA adapter %s is unloaded", key.rpartition("@")[0])

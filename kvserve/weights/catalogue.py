"""The models and adapters that a server may load, and under which names."""

from dataclasses import replace
from pathlib import Path

from kvserve.adapters.adapter_file import LoraModule
from kvserve.config import EngineConfig
from kvserve.errors import RequestRefused
from kvserve.weights.model_store import find_models


class Catalogue:
    """The model that the server was started with, and those of `models_dir`, unless None.

    The folder is looked at each time, so a model pulled meanwhile is there. LoRA adapters belong to
    the model that was live when they were loaded, and come back with it. Names ignore case.
    """

    def __init__(self, name: str, config: EngineConfig, *, models_dir: Path | None = None) -> None:
        self.default = name
        self.config = config
        self.models_dir = models_dir
        self._first = name
        self.adapters: dict[str, dict[str, LoraModule]] = {
            name: {module.name: module for module in config.lora_modules}
        }

    def models(self) -> dict[str, Path]:
        """Path by name, the default first."""
        found = find_models(self.models_dir) if self.models_dir else {}
        started_with = self.config.model_path.resolve()
        others = {n: path for n, path in found.items() if path.resolve() != started_with}
        known = {**others, self._first: self.config.model_path}
        return dict(sorted(known.items(), key=lambda item: (item[0] != self.default, item[0])))

    def find(self, name: str) -> str | None:
        """The model that answers to `name`, itself or through an adapter; empty means the default.

        None if there is none.
        """
        if not name:
            return self.default
        known = self.models()
        for model in known:
            if model.lower() == name.lower():
                return model
        return next((m for m in known if name in self.adapters.get(m, {})), None)

    def config_for(self, model: str) -> EngineConfig:
        """Settings of an engine for one of the models.

        Raises:
            RequestRefused: it is gone.
        """
        path = self.models().get(model)
        if path is None:
            raise RequestRefused(f"there is no model '{model}' any more", param="model")
        modules = tuple(self.adapters.get(model, {}).values())
        return replace(self.config, model_path=path, lora_modules=modules)

    def check_new_adapter(self, name: str) -> None:
        """Raise RequestRefused if `name` is a model's or an adapter's already."""
        owner = self.find(name)
        if owner is not None:
            raise RequestRefused(
                f"the name '{name}' is taken by {'a model' if owner == name else owner}",
                param="lora_name",
            )

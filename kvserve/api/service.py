"""What the endpoints share: the engine, the embedder and the names they answer to."""

from pathlib import Path

from kvserve.api.errors import UnknownModel
from kvserve.embedder import Embedder
from kvserve.embedders import Embedders
from kvserve.engine.engine import Engine
from kvserve.engine.state import LoadState
from kvserve.errors import NotReady, RequestRefused
from kvserve.observe.block_map import BlockMap
from kvserve.reranker import Reranker
from kvserve.text.chat_template import ChatTemplate
from kvserve.text.tokenizer import Tokenizer
from kvserve.weights.catalogue import Catalogue
from kvserve.weights.model_pool import TURN_S, ModelPool


class Service:
    """The engine and, unless disabled, the embedder.

    Models of `models_dir` may be swapped in, adapters of `lora_dir` and embedders of
    `embedder_dir` loaded; None allows neither.
    """

    def __init__(
        self,
        engine: Engine,
        embedder: Embedder | None,
        *,
        models_dir: Path | None = None,
        lora_dir: Path | None = None,
        embedder_dir: Path | None = None,
        reranker: Reranker | None = None,
        turn_s: float = TURN_S,
    ) -> None:
        self.embedder = embedder
        self.embedders = Embedders(embedder, folder=embedder_dir)
        self.reranker = reranker
        self.lora_dir = lora_dir
        self.catalogue = Catalogue(engine.model_name, engine.config, models_dir=models_dir)
        self.pool = ModelPool(engine, new_engine=self._new_engine, turn_s=turn_s)
        self._block_map = BlockMap(engine)
        self._template: ChatTemplate | None = None

    def _new_engine(self, model: str) -> Engine:
        return Engine(self.catalogue.config_for(model), model_name=model)

    @property
    def engine(self) -> Engine:
        """The live one; the one before it while models change."""
        return self.pool.engine

    @property
    def block_map(self) -> BlockMap:
        """The picture of the live engine."""
        if self._block_map.engine is not self.engine:
            self._block_map = BlockMap(self.engine)
        return self._block_map

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises NotReady while the model loads."""
        self.engine.require_ready()
        return self.engine.runner.tokenizer

    @property
    def chat_template(self) -> ChatTemplate:
        """The model's template, compiled once; raises NotReady while the model loads."""
        tokenizer = self.tokenizer
        if self._template is None or self._template.tokenizer is not tokenizer:
            self._template = ChatTemplate(self.engine.runner.info.chat_template, tokenizer)
        return self._template

    @property
    def model_names(self) -> list[str]:
        """Everything a request may name: LLMs, the default first, adapters, the embedder."""
        catalogue = self.catalogue
        models = list(catalogue.models())
        adapters = [name for model in models for name in catalogue.adapters.get(model, {})]
        return [*models, *adapters, *self.embedders.names]

    def find_llm(self, name: str) -> str:
        """The model that `name` means, its own or an adapter's name; empty means the default.

        Raises:
            UnknownModel: none has it.
        """
        model = self.catalogue.find(name)
        if model is None:
            raise self._unknown(name)
        return model

    def state_of(self, model: str) -> str:
        """Whether a model is loaded, loading or available: a request for it makes the server load it."""
        if self.pool.loading is not None:
            return "loading" if model == self.pool.loading.model_name else "available"
        if model != self.engine.model_name:
            return "available"
        return "loaded" if self.engine.state is LoadState.READY else self.engine.state.value

    def require_embedder(self, name: str) -> Embedder:
        """The embedder, asked for by name.

        Raises:
            NotReady: started without one.
            UnknownModel: it has another name.
        """
        found = self.embedders.find(name)
        if found is None and self.embedder is None:
            raise NotReady("this server was started with --embedder none")
        if found is None:
            raise self._unknown(name)
        return found

    def require_reranker(self, name: str) -> Reranker:
        """The reranker, whatever name it was asked for by: there is one.

        Raises:
            RequestRefused: started without one.
            UnknownModel: it has another name.
        """
        if self.reranker is None:
            raise RequestRefused("this server was started without --reranker", param="model")
        if name not in ("", self.reranker.model_name):
            raise UnknownModel(
                f"the model '{name}' is not served for this; served: {self.reranker.model_name}"
            )
        return self.reranker

    def _unknown(self, name: str) -> UnknownModel:
        return UnknownModel(
            f"the model '{name}' is not served for this; served: {', '.join(self.model_names)}"
        )

    def health(self) -> tuple[bool, dict[str, object]]:
        """Whether requests can be served, and the state of each part."""
        engine, embedder = self.engine, self.embedder
        coming = self.pool.loading
        ready = engine.state is LoadState.READY or self.pool.is_swapping
        llm: dict[str, object] = {"state": engine.state.value, "model": engine.model_name}
        if self.pool.is_swapping:
            llm = {"state": "swapping", "model": coming.model_name if coming else ""}
        elif ready:
            llm["max_model_len"] = engine.runner.max_model_len
            kernels = engine.runner.kernels
            for kernel in (kernels.attention, kernels.products):
                llm[kernel.name] = kernel.kind
                if kernel.reason:
                    llm[f"{kernel.name}_reason"] = kernel.reason
        elif engine.error:
            llm["error"] = engine.error
        embedding: dict[str, object] = {"state": "disabled"}
        if embedder is not None:
            embedding = {"state": embedder.state.value, "model": embedder.model_name}
            if embedder.error:
                embedding["error"] = embedder.error
        return ready, {
            "status": "ok" if ready else engine.state.value,
            "llm": llm,
            "embedder": embedding,
        }

    def start(self) -> None:
        """Load both models in the background."""
        self.pool.engine.start()
        if self.embedder is not None:
            self.embedder.start()
        if self.reranker is not None:
            self.reranker.start()

    def stop(self) -> None:
        """Ask both threads to end. Safe in a signal handler."""
        self.pool.stop()
        self.embedders.stop()
        if self.reranker is not None:
            self.reranker.stop()

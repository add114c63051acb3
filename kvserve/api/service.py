"""What the endpoints share: the engine, the embedder and the names they answer to."""

from kvserve.api.errors import UnknownModel
from kvserve.chat_template import ChatTemplate
from kvserve.embedder import Embedder
from kvserve.engine import Engine
from kvserve.errors import NotReady
from kvserve.state import LoadState
from kvserve.tokenizer import Tokenizer


class Service:
    """The engine and, unless disabled, the embedder."""

    def __init__(self, engine: Engine, embedder: Embedder | None) -> None:
        self.engine = engine
        self.embedder = embedder
        self._template: ChatTemplate | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises NotReady while the model loads."""
        self.engine.require_ready()
        return self.engine.runner.tokenizer

    @property
    def chat_template(self) -> ChatTemplate:
        """The model's template, compiled once; raises NotReady while the model loads."""
        if self._template is None:
            tokenizer = self.tokenizer
            self._template = ChatTemplate(self.engine.runner.info.chat_template, tokenizer)
        return self._template

    @property
    def model_names(self) -> list[str]:
        """Served models, the LLM first."""
        return [self.engine.model_name, *([self.embedder.model_name] if self.embedder else [])]

    def check_llm(self, name: str) -> None:
        """Raise UnknownModel unless `name` is the LLM's; an empty name means the one served."""
        self._check(name, self.engine.model_name)

    def require_embedder(self, name: str) -> Embedder:
        """The embedder, asked for by name.

        Raises:
            NotReady: started without one.
            UnknownModel: it has another name.
        """
        if self.embedder is None:
            raise NotReady("this server was started with --embedder none")
        self._check(name, self.embedder.model_name)
        return self.embedder

    def _check(self, name: str, served: str) -> None:
        if name and name.lower() != served.lower():
            raise UnknownModel(
                f"the model '{name}' is not served for this; served: {', '.join(self.model_names)}"
            )

    def health(self) -> tuple[bool, dict[str, object]]:
        """Whether requests can be served, and the state of each part."""
        engine, embedder = self.engine, self.embedder
        ready = engine.state is LoadState.READY
        llm: dict[str, object] = {"state": engine.state.value, "model": engine.model_name}
        if ready:
            llm["max_model_len"] = engine.runner.max_model_len
            llm["attention"] = engine.runner.attention.kind
            if engine.runner.attention.reason:
                llm["attention_reason"] = engine.runner.attention.reason
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
        self.engine.start()
        if self.embedder is not None:
            self.embedder.start()

    def stop(self) -> None:
        """Ask both threads to end. Safe in a signal handler."""
        self.engine.stop()
        if self.embedder is not None:
            self.embedder.stop()

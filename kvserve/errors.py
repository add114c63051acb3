"""What can go wrong, as one small family; the API turns each into an OpenAI-shaped answer."""


class KvserveError(Exception):
    """Base of every error this package raises on purpose."""


class RequestRefused(KvserveError):
    """The request can never be served as asked (HTTP 400); `param` names the field at fault."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class QueueFull(KvserveError):
    """Too many requests are waiting; asking again later can succeed (HTTP 429)."""


class NotReady(KvserveError):
    """The model or the embedder is loading, could not load, or is stopping (HTTP 503)."""


class ModelUnavailable(KvserveError):
    """A model file is missing, unreadable or could not be prepared."""


class StepFailed(KvserveError):
    """llama.cpp could not compute a step; its requests fail, the engine goes on."""


class SamplingFailed(KvserveError):
    """One sequence has no token left that its grammar allows."""


class AccountsBroken(KvserveError):
    """Blocks, slots or cells do not add up: a bug in this package."""


def ensure(condition: bool, message: str) -> None:
    """Raise AccountsBroken unless an invariant holds (kept under `python -O`, unlike assert)."""
    if not condition:
        raise AccountsBroken(message)

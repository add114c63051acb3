"""One request's way of choosing tokens, as a chain of llama.cpp samplers."""

import ctypes
from typing import Any

import numpy as np

from kvserve.errors import RequestRefused, SamplingFailed
from kvserve.native import lib
from kvserve.sequence import SamplingParams

PENALTY_WINDOW = 4096  # tokens of generated text that penalties look back on
TOKEN_DATA = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])  # llama_token_data


class Sampler:
    """Penalties, temperature, cuts and choice, in vLLM's order; a grammar on top when asked.

    Keeps its state (penalty history, random numbers, grammar position) across preemptions.

    Raises:
        RequestRefused: llama.cpp can't parse the grammar.
    """

    def __init__(self, params: SamplingParams, *, vocab: Any, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self._grammar = new_grammar(vocab, params.grammar) if params.grammar else None
        self._chain = _new_chain(params, vocab_size)

    def sample(self, context: Any, row: int) -> int:
        """Choose the token after batch row `row`, and remember it.

        Raises:
            SamplingFailed: the grammar allows no token.
        """
        if self._grammar is None:
            return int(lib.llama_sampler_sample(self._chain, context, row))
        token = self._sample_under_grammar(context, row)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def _sample_under_grammar(self, context: Any, row: int) -> int:
        """Try the free choice first: testing one token is far cheaper than masking all."""
        logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, row), (self.vocab_size,))
        free = _Candidates(logits)
        free.apply(self._chain)
        choice = _Candidates(logits, only=free.selected_id)
        choice.apply(self._grammar)
        token = free.selected_id
        if not choice.possible:
            legal = _Candidates(logits)
            legal.apply(self._grammar)
            legal.drop_impossible()
            legal.apply(self._chain)
            token = legal.selected_id
        return token

    def accept_under_grammar(self, token: int) -> None:
        """Advance the grammar past a token that does not end the text."""
        if self._grammar is not None:
            lib.llama_sampler_accept(self._grammar, token)

    def close(self) -> None:
        """Free the native samplers; the object is of no use afterwards."""
        for sampler in (self._chain, self._grammar):
            if sampler is not None:
                lib.llama_sampler_free(sampler)
        self._chain = self._grammar = None


class _Candidates:
    """A llama_token_data_array over numpy memory: the whole vocabulary, or one token of it."""

    def __init__(self, logits: np.ndarray[Any, Any], *, only: int | None = None) -> None:
        ids = np.arange(len(logits)) if only is None else np.array([only])
        self.items = np.zeros(len(ids), dtype=TOKEN_DATA)
        self.items["id"] = ids
        self.items["logit"] = logits if only is None else logits[only]
        self._point()

    def _point(self) -> None:
        data = ctypes.cast(self.items.ctypes.data, lib.llama_token_data_p)
        self.array = lib.llama_token_data_array(data, len(self.items), -1, False)

    def apply(self, sampler: Any) -> None:
        lib.llama_sampler_apply(sampler, ctypes.byref(self.array))

    def drop_impossible(self) -> None:
        self.items = self.items[np.isfinite(self.items["logit"])]
        if not len(self.items):
            raise SamplingFailed(
                "the grammar leaves no token to choose; check the schema of response_format"
            )
        self._point()

    @property
    def possible(self) -> bool:
        return bool(np.isfinite(self.array.data[0].logit))

    @property
    def selected_id(self) -> int:
        return int(self.array.data[self.array.selected].id)  # samplers may move the pointer


def new_grammar(vocab: Any, gbnf: str) -> Any:
    """A native grammar sampler, to be freed by the caller.

    Raises:
        RequestRefused: llama.cpp can't parse it.
    """
    grammar = lib.llama_sampler_init_grammar(vocab, gbnf.encode(), b"root")
    if not grammar:
        raise RequestRefused(
            "response_format: llama.cpp cannot sample under the grammar of this schema;"
            " simplify patterns, references or repetitions",
            param="response_format",
        )
    return grammar


def _new_chain(params: SamplingParams, vocab_size: int) -> Any:
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())

    def add(sampler: Any) -> None:
        lib.llama_sampler_chain_add(chain, sampler)

    if params.logit_bias:
        pairs = [lib.llama_logit_bias(token=token, bias=bias) for token, bias in params.logit_bias]
        array = (lib.llama_logit_bias * len(pairs))(*pairs)
        add(lib.llama_sampler_init_logit_bias(vocab_size, len(pairs), array))
    if (params.repetition_penalty, params.frequency_penalty, params.presence_penalty) != (1, 0, 0):
        add(
            lib.llama_sampler_init_penalties(
                vocab_size,
                PENALTY_WINDOW,
                params.repetition_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            )
        )
    if params.temperature == 0:
        add(lib.llama_sampler_init_greedy())
        return chain
    add(lib.llama_sampler_init_temp(params.temperature))
    if params.top_k > 0:
        add(lib.llama_sampler_init_top_k(params.top_k))
    if params.top_p < 1:
        add(lib.llama_sampler_init_top_p(params.top_p, 1))
    if params.min_p > 0:
        add(lib.llama_sampler_init_min_p(params.min_p, 1))
    seed = lib.LLAMA_DEFAULT_SEED if params.seed is None else params.seed % 0xFFFFFFFF
    add(lib.llama_sampler_init_dist(seed))
    return chain

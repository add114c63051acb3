"""One request's way of choosing tokens, as a chain of llama.cpp samplers."""

import ctypes
from typing import Any

import numpy as np

from kvserve.engine.sequence import SamplingParams
from kvserve.errors import SamplingFailed
from kvserve.native import lib
from kvserve.text.grammar_compiler import GrammarState

PENALTY_WINDOW = 4096  # tokens of generated text that penalties look back on
TOKEN_DATA = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])  # llama_token_data


class Sampler:
    """Penalties, temperature, cuts and choice, in vLLM's order; a grammar on top when asked.

    Keeps its state (penalty history, random numbers, grammar position) across preemptions.
    """

    def __init__(self, params: SamplingParams, *, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self._grammar = params.grammar.copy() if params.grammar else None
        # the largest logit needs no chain, which first copies the whole vocabulary: 0.15 ms a token
        self._chain = None if params.takes_largest else _new_chain(params, vocab_size)

    def sample(self, context: Any, row: int) -> int:
        """Choose the token after batch row `row`, and remember it.

        Raises:
            SamplingFailed: the grammar allows no token.
        """
        if self._grammar is not None:
            token = self._sample_under(self._grammar, context, row)
            if self._chain is not None:
                lib.llama_sampler_accept(self._chain, token)
            return token
        if self._chain is None:
            return int(self._logits(context, row).argmax())
        return int(lib.llama_sampler_sample(self._chain, context, row))

    def _sample_under(self, grammar: GrammarState, context: Any, row: int) -> int:
        """Try the free choice first: testing one token is far cheaper than masking all."""
        logits = self._logits(context, row)
        token = self._choose(logits, np.arange(self.vocab_size))
        if grammar.allows(token):
            return token
        allowed = grammar.allowed_ids()
        if not len(allowed):
            reason = grammar.error or "no token fits"
            raise SamplingFailed(f"the grammar leaves no token to choose: {reason}")
        return self._choose(logits, allowed)

    def _choose(self, logits: np.ndarray[Any, Any], ids: np.ndarray[Any, Any]) -> int:
        if self._chain is None:
            return int(ids[logits[ids].argmax()])
        candidates = _Candidates(logits, ids)
        candidates.apply(self._chain)
        return candidates.selected_id

    def _logits(self, context: Any, row: int) -> np.ndarray[Any, Any]:
        return np.ctypeslib.as_array(lib.llama_get_logits_ith(context, row), (self.vocab_size,))

    def accept_under_grammar(self, token: int) -> None:
        """Advance the grammar past a token that does not end the text."""
        if self._grammar is not None:
            self._grammar.accept(token)

    def close(self) -> None:
        """Free the native samplers; the object is of no use afterwards."""
        if self._chain is not None:
            lib.llama_sampler_free(self._chain)
        self._chain = self._grammar = None


class _Candidates:
    """A llama_token_data_array over numpy memory, of the tokens `ids`."""

    def __init__(self, logits: np.ndarray[Any, Any], ids: np.ndarray[Any, Any]) -> None:
        self.items = np.zeros(len(ids), dtype=TOKEN_DATA)
        self.items["id"] = ids
        self.items["logit"] = logits[ids]
        data = ctypes.cast(self.items.ctypes.data, lib.llama_token_data_p)
        self.array = lib.llama_token_data_array(data, len(self.items), -1, False)

    def apply(self, sampler: Any) -> None:
        lib.llama_sampler_apply(sampler, ctypes.byref(self.array))

    @property
    def selected_id(self) -> int:
        return int(self.array.data[self.array.selected].id)  # samplers may move the pointer


def _new_chain(params: SamplingParams, vocab_size: int) -> Any:
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())

    def add(sampler: Any) -> None:
        lib.llama_sampler_chain_add(chain, sampler)

    if params.logit_bias:
        pairs = [lib.llama_logit_bias(token=token, bias=bias) for token, bias in params.logit_bias]
        array = (lib.llama_logit_bias * len(pairs))(*pairs)
        add(lib.llama_sampler_init_logit_bias(vocab_size, len(pairs), array))
    if params.penalises:
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

"""Compiles grammars for one vocabulary, once each; a request gets a copy to walk through."""

import ctypes
import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from kvserve.errors import RequestRefused
from kvserve.native import lib
from kvserve.text.grammar import GrammarText

if TYPE_CHECKING:
    from kvserve.text.tokenizer import Tokenizer

MAX_CACHED = 32
MAX_TEXT = 256 * 1024  # all tools of a request together
CONTROL_PREFIX = b"\xff"  # how llguidance is told that a token is no text
# Work and memory of one step, so that no grammar can hold up the engine (llguidance: 14 lexer fuel
# and 20 items a microsecond, about half a kB a lexer state)
LIMITS: Any = {
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 100_000,
    "step_max_items": 50_000,
    "max_lexer_states": 50_000,
    "max_grammar_size": 100_000,
    "verbose_errors": False,
}
LEXER_FULL = "lexer error"  # how llguidance begins what it says of a lexer over its budget
PROBE_TOKENS = 8  # a grammar that explodes does so in its first steps, measured


class GrammarState:
    """Where one text stands in its grammar. Used by one thread at a time."""

    def __init__(self, matcher: Any, ends: list[int], is_spent: threading.Event) -> None:
        self._matcher = matcher
        self._ends = ends
        self.is_spent = is_spent  # shared by all copies, as their lexer and its budget is

    def copy(self) -> "GrammarState":
        """A state of its own at the same place, a few microseconds."""
        return GrammarState(self._matcher.deep_copy(), self._ends, self.is_spent)

    def allows(self, token: int) -> bool:
        """Whether the token may come next."""
        if self._is_complete:
            return token in self._ends
        return bool(self._matcher.validate_tokens([token]) == 1)

    def allowed_ids(self) -> np.ndarray[Any, Any]:
        """Every token that may come next, none after an error; 0.1 ms for 50,000 tokens."""
        if self._is_complete:
            return np.array(self._ends)
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            self._note_error()
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(np.unpackbits(bits, bitorder="little"))

    def accept(self, token: int) -> None:
        """Move past a token; one that is not allowed leaves an error behind."""
        if not self._matcher.consume_token(token):
            self._note_error()

    def _note_error(self) -> None:
        if LEXER_FULL in self.error:
            self.is_spent.set()

    @property
    def _is_complete(self) -> bool:
        """Whether nothing but the end can come."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def error(self) -> str:
        """Why nothing is allowed any more, in one line."""
        return str(self._matcher.get_error()).partition("\n<non-verbose/>")[0].strip()


class GrammarCompiler:
    """Grammars over one vocabulary, the `MAX_CACHED` last used kept. Any thread may call it."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        self.num_compiled = 0
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, GrammarState] = OrderedDict()
        self._vocabulary: Any = None
        self._ends = [token for token in range(tokenizer.size) if tokenizer.is_end(token)]

    def start(self, grammar: GrammarText) -> GrammarState:
        """The state before the first token; compiled at the first time asked for.

        Raises:
            RequestRefused: the grammar is wrong, allows nothing, or costs too much.
        """
        if len(grammar.text) > MAX_TEXT:
            raise RequestRefused(
                f"{grammar.param}: {len(grammar.text)} bytes of grammar, at most {MAX_TEXT}",
                param=grammar.param,
            )
        with self._lock:  # also keeps two requests from compiling the same grammar
            state = self._cache.get(grammar.text)
            if state is None or state.is_spent.is_set():
                state = self._compile(grammar)
                self._cache[grammar.text] = state
                if len(self._cache) > MAX_CACHED:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(grammar.text)
            return state.copy()

    def _compile(self, grammar: GrammarText) -> GrammarState:
        from llguidance import LLMatcher, LLParserLimits

        if self._vocabulary is None:
            self._vocabulary = self._read_vocabulary()
        self.num_compiled += 1
        matcher = LLMatcher(
            self._vocabulary, grammar.text, log_level=0, limits=LLParserLimits(**LIMITS)
        )
        state = GrammarState(matcher, self._ends, threading.Event())
        if not state.error:
            self._probe(probe := state.copy())
            error = probe.error
        else:
            error = state.error
        if error:
            raise RequestRefused(f"{grammar.param}: {_plain(error)}", param=grammar.param)
        return state

    def _probe(self, state: GrammarState) -> None:
        """Walk a few tokens, so that a grammar that costs too much or leads nowhere shows here."""
        for _ in range(PROBE_TOKENS):
            allowed = state.allowed_ids()
            text = [token for token in allowed[:2] if not self.tokenizer.is_end(int(token))]
            if not text:
                return
            state.accept(int(text[0]))

    def _read_vocabulary(self) -> Any:
        """llguidance's view of the vocabulary; a quarter of a second for 50,000 tokens."""
        from llama_cpp import llama_cpp
        from llguidance import LLTokenizer

        vocab, tokens = self.tokenizer.vocab, []
        for token in range(self.tokenizer.size):
            piece = self.tokenizer.piece(token, special=True)
            if token in self._ends or lib.llama_vocab_is_control(vocab, token):
                piece = CONTROL_PREFIX + piece
            tokens.append(piece)
        # in the type stubs of neither library
        tokenize = ctypes.cast(llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value
        return LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
            tokens=tokens,
            vocab_ptr=vocab,
            tokenize_fptr=tokenize,
            eos_token=self._ends,
            slices=None,
        )


def _plain(error: str) -> str:
    """llguidance's message in a user's words."""
    if error.startswith("NoExtension"):
        return "no text fits this grammar"
    if "Unimplemented keys" in error:
        keys = json.loads(error[error.index("[") : error.rindex("]") + 1])
        return f"JSON schema keywords that this server cannot enforce: {', '.join(keys)}"
    if "oneOf constraints" in error:
        return "oneOf whose branches overlap cannot be enforced: use anyOf"
    return f"cannot be turned into a grammar: {error}"

"""Text to tokens and back, with the vocabulary inside the GGUF."""

import ctypes
from collections.abc import Sequence as Seq
from typing import Any

import numpy as np

from kvserve.native import lib
from kvserve.text.grammar_compiler import GrammarCompiler


class Tokenizer:
    """A llama.cpp vocabulary. Read-only, so any thread may use it beside the engine's."""

    def __init__(self, vocab: Any) -> None:
        self.vocab = vocab
        self.size: int = lib.llama_vocab_n_tokens(vocab)
        self.bos_text = self._text(lib.llama_vocab_bos(vocab))
        self.eos_text = self._text(lib.llama_vocab_eos(vocab))
        control = (token for token in range(self.size) if lib.llama_vocab_is_control(vocab, token))
        self.control_texts: tuple[str, ...] = tuple(filter(None, map(self._text, control)))
        self.grammars = GrammarCompiler(self)

    def _text(self, token: int) -> str:
        return "" if token < 0 else (lib.llama_vocab_get_text(self.vocab, token) or b"").decode()

    def encode(
        self, text: str, *, add_special: bool = True, parse_special: bool = False
    ) -> list[int]:
        """Token ids of `text`.

        `add_special` lets the model's own rule add BOS/EOS; `parse_special` reads control tokens
        such as `<|im_end|>` out of the text, which only text that a template wrote should be
        allowed to do.

        Raises:
            UnicodeEncodeError: `text` holds lone surrogates.
        """
        data = text.encode("utf-8")
        room = len(data) + 8
        while True:
            tokens = np.empty(room, dtype=np.int32)
            pointer = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
            count = lib.llama_tokenize(
                self.vocab, data, len(data), pointer, room, add_special, parse_special
            )
            if count >= 0:
                return tokens[:count].tolist()
            room = -count

    def decode(self, tokens: Seq[int]) -> str:
        """Text of a list of tokens, control tokens included; broken UTF-8 becomes U+FFFD."""
        return b"".join(self.piece(token, special=True) for token in tokens).decode(
            errors="replace"
        )

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token, perhaps part of a character; empty for control tokens unless
        `special`."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = lib.llama_token_to_piece(self.vocab, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def is_end(self, token: int) -> bool:
        """Whether the model ends its turn with this token."""
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

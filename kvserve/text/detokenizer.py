"""Token bytes to text that can be sent: whole characters only, nothing past a stop string."""

import codecs
from typing import NamedTuple


class Piece(NamedTuple):
    text: str
    stopped: bool


class TextStream:
    """Collects one sequence's bytes and hands out text as soon as it is certain.

    A character split over tokens waits for its last byte; text that could be the start of a stop
    string waits until it is not. Whatever was broken UTF-8 at the end becomes U+FFFD.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self.stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def feed(self, data: bytes, *, final: bool = False) -> Piece:
        """Add bytes; returns the text now certain and whether a stop string was met."""
        self._held += self._decoder.decode(data, final)
        found = [at for text in self.stop if (at := self._held.find(text)) >= 0]
        if found:
            return Piece(self._take(min(found)), stopped=True)
        keep = 0 if final else max((overlap(self._held, text) for text in self.stop), default=0)
        return Piece(self._take(len(self._held) - keep), stopped=False)

    def _take(self, length: int) -> str:
        taken, self._held = self._held[:length], self._held[length:]
        return taken


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a proper start of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)

"""Whose turn it is: llama.cpp applies one LoRA adapter to a whole batch, so a step has one."""

from collections.abc import Iterable

# Changing the adapter makes llama.cpp plan its compute graph anew: 5 to 15 ms beside a 40 ms step
# (bundled model, 2 cores). Turns of some steps bound that share; short ones keep streams smooth.
TURN_STEPS = 4


class AdapterTurns:
    """An adapter keeps its turn for `TURN_STEPS` steps or `turn_tokens` tokens while others have
    work; then the one served longest ago is first, so none starves. "" is the base model.
    """

    def __init__(self, *, turn_tokens: int) -> None:
        self.turn_tokens = turn_tokens
        self.current: str | None = None
        self._steps = 0
        self._tokens = 0
        self._served: dict[str, int] = {}  # number of the adapter's last turn
        self._turn = 0

    @property
    def is_over(self) -> bool:
        return self._steps >= TURN_STEPS or self._tokens >= self.turn_tokens

    def order(self, adapters: Iterable[str]) -> list[str]:
        """Adapters with work in the order in which a step should try them."""

        def place(adapter: str) -> tuple[bool, int, str]:
            stays = adapter == self.current and not self.is_over
            return (not stays, self._served.get(adapter, 0), adapter)

        return sorted(adapters, key=place)

    def took(self, adapter: str, num_tokens: int) -> None:
        """Note that a step computed tokens of this adapter."""
        if adapter != self.current or self.is_over:
            self.current, self._steps, self._tokens = adapter, 0, 0
            self._turn += 1
            self._served[adapter] = self._turn
        self._steps += 1
        self._tokens += num_tokens

"""Log-probabilities of the model's own distribution, before penalties, temperature and cuts."""

from typing import Any

import numpy as np

from kvserve.engine.sequence import TokenLogprob


def token_logprob(logits: np.ndarray[Any, Any], token: int, num_top: int) -> TokenLogprob:
    """The chosen token's log-probability and those of the `num_top` most likely tokens."""
    shifted = logits - logits.max()
    logprobs = shifted - np.log(np.exp(shifted, dtype=np.float64).sum())
    best = np.argpartition(logprobs, -num_top)[-num_top:] if num_top else np.empty(0, dtype=int)
    best = best[np.argsort(-logprobs[best], kind="stable")]
    top = tuple((int(number), float(logprobs[number])) for number in best)
    return TokenLogprob(token, float(logprobs[token]), top)

"""Prompts of plain words and how many of them are sent at a time."""

import random
from typing import NamedTuple

# One token each in the bundled model's vocabulary, at the start of a text and after a space.
WORDS = """rack server fan filter power loop tower sensor operator checks opens starts reads records
before after while during water air supply""".split()  # noqa: SIM905
PREFIX_WORDS, OWN_WORDS = 350, 60


class Prompt(NamedTuple):
    """One request."""

    text: str
    output_tokens: int


class Load(NamedTuple):
    """Prompts sent `concurrency` at a time, the next as soon as one has ended."""

    prompts: list[Prompt]
    concurrency: int


def text(words: int, seed: object) -> str:
    """So many words that share no beginning with another seed's."""
    chance = random.Random(repr(seed))
    return " ".join(chance.choices(WORDS, k=words))


def prefixed(
    requests: int, concurrency: int, output_tokens: int, *, prefixes: int, seed: object
) -> Load:
    """350 words, one of `prefixes` in turn, before 60 words of the request's own."""
    heads = [text(PREFIX_WORDS, ("head", seed, index)) for index in range(prefixes)]
    prompts = [
        Prompt(f"{heads[index % prefixes]} {text(OWN_WORDS, ('own', seed, index))}", output_tokens)
        for index in range(requests)
    ]
    return Load(prompts, concurrency)


def distinct(
    requests: int, concurrency: int, output_tokens: int, *, words: int, seed: object
) -> Load:
    """Prompts of so many words each, nothing shared."""
    prompts = [
        Prompt(text(words, ("alone", seed, index)), output_tokens) for index in range(requests)
    ]
    return Load(prompts, concurrency)


def warm_up(seed: object) -> Load:
    """Sixteen short requests together, so that every slot has been used."""
    return Load([Prompt(text(60, ("warm", seed, index)), 4) for index in range(16)], 16)

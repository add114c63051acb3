"""Series keys: ``name{label="value",…}`` taken apart, and names made safe for tags."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from facilities.ingest.formats.keys import split_key
from facilities.models.converter import MAX_KEY
from facilities.tags import POINT_TAG


class SeriesKey(NamedTuple):
    """A foreign series: its name and its labels. A native tag has no labels."""

    name: str
    labels: dict[str, str]


@lru_cache(maxsize=8_192)
def parse_key(key: str) -> SeriesKey:
    """Take a series key apart. What is not of the form is a name without labels."""
    return SeriesKey(*split_key(key))


def key_problem(key: str) -> str:
    """Why a series key can become no point: empty, too long, control characters. Empty if it may."""
    if not key.strip():
        return "the series has no name"
    if len(key) > MAX_KEY:
        return f"the series' name has {len(key):,} characters, at most {MAX_KEY} are taken"
    for character in key:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            return (
                f"the series' name has the character U+{ord(character):04X}, which cannot be shown"
            )
    return ""


def snake(text: str, most: int = 60) -> str:
    """A quantity out of any text: lower case, digits and ``_``; ``Inlet Temp`` is ``inlet_temp``.

    Different texts may become one: ``distinct`` keeps them apart.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if plain and not plain[0].isalpha():
        plain = f"n{plain}"
    return plain[:most].rstrip("_")


def tag(text: str, most: int = 80) -> str:
    """An asset tag out of any text: ``10.0.0.5:9100`` is ``10-0-0-5-9100``."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-_")
    return plain[:most].rstrip("-_")


def distinct(name: str, key: str, most: int) -> str:
    """``name`` with four digits of the key's hash: the same for the same key, always."""
    mark = hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{name[: most - 9].rstrip('_-')}_{mark}"


def is_point_tag(key: str) -> bool:
    """Whether a key is a tag of the data list by its spelling."""
    return POINT_TAG.match(key) is not None

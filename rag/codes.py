"""Identifiers in running text: `CRAC-2`, `XID 79`, `srv-05-gpu-3`, `EOP-CRAC-01`, `UPS A`.

PostgreSQL's text parser takes `CRAC-2` apart into `crac` and `-2`. Codes are therefore found
here, brought to one normal form and indexed beside the words, so that they match exactly.
"""

import re

_GLUED = re.compile(r"[A-Za-z0-9]+(?:[-_./][A-Za-z0-9]+)*")
_SPACED = re.compile(r"\b([A-Za-z]{2,12})[\s ]+((?:[A-Z]\d{0,2}|\d{1,4}))\b(?![.,]\d|\s?%|\s?°)")
_SPACED_ANY_CASE = re.compile(r"\b([A-Za-z]{2,12})\s+(\d{1,4})\b(?![.,]\d|\s?%|\s?°)")
_RUNS = re.compile(r"[a-z]+|\d+")
_LISTED = r"\d{1,4}\b(?:\s*(?:,|and|or|/|&)\s*){0,2}"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CAMEL_WORD = re.compile(r"\b(?:[A-Z][a-z0-9]*){2,}[A-Za-z0-9]*\b")
_STOP_WORDS = """
a about above after all and are as at before below between by each every for from has have if in
into is it least more most next no not of on one only or other over per plus run set than that the
then this to total under until up us use was wait when with within
"""
_NOT_A_NAME = frozenset(_STOP_WORDS.split())


def normalise(code: str) -> str:
    """`CRAC-2`, `crac_2`, `Crac 02` → `crac-2`: lower case, runs joined by `-`, no leading 0."""
    runs = _RUNS.findall(code.lower())
    return "-".join(run.lstrip("0") or "0" if run.isdigit() else run for run in runs)


def _is_code(token: str) -> bool:
    has_letter = any(char.isalpha() for char in token)
    has_digit = any(char.isdigit() for char in token)
    if has_letter and has_digit:
        # A number with its unit glued on (27C, 10min, 2s) is a quantity, not a name.
        return not re.fullmatch(r"\d+[A-Za-z]{1,4}", token)
    tail = re.split(r"[-_]", token)[-1]
    return has_letter and "-" in token and len(tail) == 1


def _may_be_named(match: re.Match[str]) -> bool:
    """Whether a word and what follows it may be a name: not `at 5`, and not `may I`."""
    word, number = match.groups()
    return word.lower() not in _NOT_A_NAME and (number != "I" or word.isupper())


def codes(text: str, *, strict: bool = False) -> list[str]:
    """The normalised codes of a text, without repeats, in order of appearance.

    A point tag such as `crac-2.supply_c` also gives its asset, `crac-2`. A word and a number
    side by side count as a code too (`xid 79`); with `strict` only after a word in capitals.
    """
    found: dict[str, None] = {}
    for match in _GLUED.finditer(text):
        token = match.group()
        if _is_code(token):
            found[normalise(token)] = None
        if "." in token:
            for part in token.split("."):
                if _is_code(part):
                    found[normalise(part)] = None
    for pattern in (_SPACED, _SPACED_ANY_CASE):
        for match in pattern.finditer(text):
            word = match.group(1)
            if _may_be_named(match) and (word.isupper() or not strict):
                found[normalise(f"{word} {match.group(2)}")] = None
    return [code for code in found if len(code) <= 80]


def mentions(code: str, text: str) -> bool:
    """Whether a text names a normalised code: as such, in a list or in a range.

    `XID 63, 64 and 74` names `xid-74`; `srv-01 to srv-16` names `srv-5`.
    """
    if code in codes(text):
        return True
    family, _, number = code.rpartition("-")
    if not family or not number.isdigit():
        return False
    name = r"[-_\s]?".join(re.escape(part) for part in family.split("-"))
    for match in re.finditer(rf"\b{name}s?[-_\s]?((?:{_LISTED}){{1,40}})", text, re.IGNORECASE):
        if int(number) in {int(found) for found in re.findall(r"\d+", match.group(1))}:
            return True
    ranged = rf"\b{name}[-_\s]?0*(\d+)\s*(?:to|-|–|…|until|through)\s*(?:{name}[-_\s]?)?0*(\d+)\b"
    return any(
        int(first) <= int(number) <= int(last)
        for first, last in re.findall(ranged, text, re.IGNORECASE)
    )


def tag_candidates(text: str) -> list[str]:
    """Spellings under which the text's identifiers may be asset or point tags.

    `CRAC 2` → `crac-2`; `srv-5` → `srv-5`, `srv-05`; `PDU A1` → `pdu-a1`; `crac-2.supply_c` →
    itself and `crac-2`.
    """
    raw: dict[str, None] = {}
    for match in _GLUED.finditer(text):
        for token in (match.group(), *match.group().split(".")):
            if _is_code(token):
                raw[token.lower()] = None
    for pattern in (_SPACED, _SPACED_ANY_CASE):
        for match in pattern.finditer(text):
            if _may_be_named(match):
                raw[f"{match.group(1)}-{match.group(2)}".lower()] = None
    found: dict[str, None] = {}
    for token in raw:
        plain = normalise(token) if "." not in token else token
        padded = re.sub(r"(?<=-)(\d)(?=-|$)", r"0\1", plain)
        found |= dict.fromkeys((token, plain, padded))
    return list(found)


def spell_out(text: str) -> str:
    """Follow each CamelCase name by its words: alert names are asked for in plain words.

    `CephOSDDiskUnavailable` → `CephOSDDiskUnavailable (Ceph OSD Disk Unavailable)`.
    """

    def expand(match: re.Match[str]) -> str:
        word = match.group()
        spaced = _CAMEL.sub(" ", word)
        return f"{word} ({spaced})" if spaced != word and not word.isupper() else word

    return _CAMEL_WORD.sub(expand, text)

"""What changes the meaning of a sentence while its words stay: negations, duties, conditions,
directions, order, and who or what it is about (pure functions).

Word overlap and embeddings are blind to these, so they are compared outright. Every check is given
a sentence and the few pieces of the source that it speaks of, and is strict: a refused sentence is
replaced by the source's own words, which costs nothing but style.
"""

import re

from rag.answers.sentences import content_words, is_content, stem, words

_NEGATIONS = {
    "not", "no", "never", "without", "cannot", "none", "neither", "nor", "nobody", "nothing",
    "non", "fails", "fail", "failed", "unable", "forbidden", "prohibited", "avoid", "refuse",
}  # fmt: skip
_LIGHT_NEGATIONS = {"fails", "fail", "failed", "unable", "non"}
_MODALS = (
    ("must", r"\b(?:must|shall|(?:is|are) (?:required|mandatory|obliged)|ha(?:s|ve) to|mandatory)\b"),
    ("should", r"\b(?:should|ought to|recommended|advisable)\b"),
    ("may", r"\b(?:may|might|(?:is|are) (?:allowed|permitted)|optional(?:ly)?|could)\b"),
)  # fmt: skip
_MODAL_RE = [(name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _MODALS]
_QUALIFIERS = ("unless", "except", "only", "until", "if", "instead", "either", "while", "always")
_STRONG_QUALIFIERS = {"unless", "except", "only"}

# Pairs that must not be exchanged. Each word is compared as a stem.
_OPPOSITES = """
above below|start stop|open close|raise lower|increase decrease|on off|first last
minimum maximum|more less|higher lower|connect disconnect|enable disable|lock unlock|up down
upstream downstream|supply return|inlet outlet|hot cold|primary secondary|normal emergency
automatic manual|clockwise counterclockwise|left right|enter leave|add remove|charge discharge
rise fall|warm cool|full empty|allow forbid|online offline|safe unsafe|duty standby|input output
acknowledge clear|approve reject|attach detach|mount unmount|insert eject|push pull|early late
fast slow|long short|strong weak|wet dry|true false|yes no|pass fail|healthy faulty|read write
send receive|source destination|isolate restore|drain fill|cordon uncordon|enabled disabled
running stopped|opened closed|started stopped|live dead|energised isolated|active inactive
success failure|best worst|front rear|top bottom|inside outside|internal external|north south
east west|master slave|client server|parent child|local remote
"""
_OPPOSITE: dict[str, set[str]] = {}
for _pair in re.split(r"[|\n]", _OPPOSITES.strip()):
    _left, _right = (stem(word) for word in _pair.split())
    _OPPOSITE.setdefault(_left, set()).add(_right)
    _OPPOSITE.setdefault(_right, set()).add(_left)
_SMALL_OPPOSITES = {"on", "off", "up", "down", "above", "below", "yes", "no"}

# Who acts and what is acted on: such a word must be the source's own.
_NAMED_WORDS = (
    "supervisor manager operator engineer contractor technician electrician lead officer guard "
    "owner brigade administrator admin developer vendor supplier customer tenant team director "
    "planner pump chiller fan valve breaker generator genset rack server damper tower filter "
    "battery inverter rectifier transformer switchgear switch router cable fuse relay sensor "
    "detector alarm panel door floor hall room roof container disk drive gpu cpu nic memory psu ups "
    "pdu crac crah cdu ahu node pod cluster namespace volume image port rail heater compressor "
    "condenser evaporator humidifier tank monday tuesday wednesday thursday friday saturday sunday "
    "january february march april june july august september october november december hourly "
    "daily weekly monthly quarterly annually yearly red green blue yellow amber white black"
)
_NAMED = frozenset(stem(word) for word in _NAMED_WORDS.split(" "))
_CLAUSE = re.compile(r"\b(before|after)\b", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z][A-Za-z'’]*|\d+(?:\.\d+)?|[.;:!?\n]")
_STOPS = frozenset(".;:!?\n")
_SCOPE = 4


def objection(sentence: str, pieces: list[str], context: str = "") -> str:
    """Why the source's pieces do not say what the sentence says, or ''.

    `context` is the source's title and section, whose names count as said.
    """
    source = "\n".join(pieces)
    return (
        _negation(sentence, source)
        or _modality(sentence, source)
        or _qualifier(sentence, source)
        or _direction(sentence, source)
        or _order(sentence, source)
        or _named(sentence, f"{context}\n{source}")
    )


def _tokens(text: str) -> list[str]:
    return [token.lower().replace("’", "'") for token in _TOKEN.findall(text)]


def _is_negation(token: str) -> bool:
    return token in _NEGATIONS or (token.endswith("n't") and len(token) > len("n't"))


def negated_words(text: str) -> tuple[set[str], set[str]]:
    """The stems within four content words after a negation, and the stems anywhere else."""
    negated: set[str] = set()
    plain: set[str] = set()
    left = 0
    for token in _tokens(text):
        if token in _STOPS:
            left = 0
        elif _is_negation(token):
            left = _SCOPE
        elif is_content(token):
            (negated if left else plain).add(stem(token))
            left = max(0, left - 1)
    return negated, plain


def has_negation(text: str) -> bool:
    """Whether the text negates anything."""
    return any(_is_negation(token) for token in _tokens(text))


def _negation(sentence: str, source: str) -> str:
    own, own_plain = negated_words(sentence)
    theirs, their_plain = negated_words(source)
    lost = (own_plain - own) & theirs - their_plain
    if lost and not has_negation(sentence):
        return f"negated differently from the source: {min(lost)}"
    gained = own & their_plain - theirs
    strict = {token for token in _tokens(sentence) if _is_negation(token)} - _LIGHT_NEGATIONS
    if strict and (not has_negation(source) or (gained and not own & theirs)):
        return f"negated differently from the source: {min(gained, default='it')}"
    if len(lost) > 1 and not own & theirs:
        return f"negated differently from the source: {min(lost)}"
    return ""


def _modality(sentence: str, source: str) -> str:
    for name, pattern in _MODAL_RE:
        if pattern.search(sentence) and not pattern.search(source):
            return f"'{name}' is not in the source"
    said = [name for name, pattern in _MODAL_RE if pattern.search(source)]
    kept = [name for name, pattern in _MODAL_RE if pattern.search(sentence)]
    if said and not kept:
        return f"the source says '{said[0]}'"
    return ""


def _qualifier(sentence: str, source: str) -> str:
    own, theirs = set(words(sentence)), set(words(source))
    for word in _QUALIFIERS:
        if word in own and word not in theirs:
            return f"'{word}' is not in the source"
    for word in sorted(_STRONG_QUALIFIERS):
        if word in theirs and word not in own:
            return f"the source's '{word}' is left out"
    if {"if", "unless"} & theirs and not {"if", "unless", "when", "where", "in"} & own:
        return "the source's condition is left out"
    return ""


def _pairs(text: str) -> dict[str, set[str]]:
    """Each word that has an opposite, with the content words within four words after it."""
    tokens = _tokens(text)
    found: dict[str, set[str]] = {}
    for index, token in enumerate(tokens):
        form = token if token in _SMALL_OPPOSITES else stem(token)
        if form not in _OPPOSITE and stem(form) not in _OPPOSITE:
            continue
        near: set[str] = set()
        for other in tokens[index + 1 : index + 1 + _SCOPE * 2]:
            if other in ".;!?\n" or len(near) == _SCOPE:
                break
            if is_content(other) and other.isascii() and other[0].isalnum():
                near.add(stem(other))
        found.setdefault(stem(form), set()).update(near)
    return found


def _direction(sentence: str, source: str) -> str:
    theirs = _pairs(source)
    known = set(content_words(source)) | set(theirs)
    for word, near in _pairs(sentence).items():
        if word not in known:
            if _OPPOSITE.get(word, set()) & known:
                return f"the source says the opposite of '{word}'"
            continue
        opposite = set().union(*(theirs.get(other, set()) for other in _OPPOSITE.get(word, ())))
        if near and word in theirs and not near & theirs[word] and near & opposite:
            return f"the source says the opposite of '{word}'"
    return ""


def _order(sentence: str, source: str) -> str:
    """`A before B` must not become `B before A`, nor `A after B`."""
    claim = _clauses(sentence)
    if claim is None:
        return ""
    for piece in re.split(r"(?<=[.;!?])\s+|\n", source):
        stated = _clauses(piece)
        if stated is None:
            continue
        straight = len(claim[0] & stated[0]) + len(claim[1] & stated[1])
        crossed = len(claim[0] & stated[1]) + len(claim[1] & stated[0])
        if crossed > straight:
            return "the order differs from the source's"
        if straight:
            return ""
    return "the source states no such order"


def _clauses(text: str) -> tuple[set[str], set[str]] | None:
    """The words of what comes first and of what comes later."""
    found = _CLAUSE.search(text)
    if found is None:
        return None
    left, right = text[: found.start()], text[found.end() :]
    if not content_words(left):  # "Before B, A": what follows the comma comes first
        right, _, left = right.partition(",")
    first, later = (left, right) if found[1].lower() == "before" else (right, left)
    return set(content_words(first)), set(content_words(later))


def _named(sentence: str, source: str) -> str:
    known = set(content_words(source)) | {stem(word) for word in words(source)}
    for word in words(sentence):
        if stem(word) in _NAMED and stem(word) not in known:
            return f"'{word}' is not in the source"
    return ""

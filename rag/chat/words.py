"""Words of questions: stems, and the cues that tell a question for live data from one for documents.

Everything here reads the user's own sentence and nothing else.
"""

import re
from collections.abc import Iterable

_WORD = re.compile(r"[a-zA-Z]+|\d+(?:[.,]\d+)?")

#: Words that people use for one another; the key is what is compared.
SAME: dict[str, str] = {
    "temp": "temperature", "hot": "temperature", "hotter": "temperature", "hottest": "temperature",
    "warm": "temperature", "warmer": "temperature", "warmest": "temperature",
    "cold": "temperature", "colder": "temperature", "coldest": "temperature",
    "cool": "temperature", "cooler": "temperature", "coolest": "temperature",
    "consumption": "power", "consume": "power", "draw": "power", "kw": "power",
    "watt": "power", "wattage": "power", "humid": "humidity", "utilization": "utilisation",
    "usage": "utilisation", "util": "utilisation", "rpm": "speed", "fast": "speed",
    "fuelled": "fuel", "diesel": "fuel", "ambient": "outside", "outdoor": "outside",
    "tripped": "fault", "trip": "fault", "faulty": "fault", "failed": "fault", "broken": "fault",
    "charged": "charge", "sp": "setpoint", "target": "setpoint", "remaining": "runtime",
    "makeup": "make", "entering": "inlet", "discharge": "supply", "exhaust": "outlet",
    "opened": "open", "ran": "running", "run": "running", "stopped": "running", "idle": "running",
    "leaking": "leak", "leakage": "leak", "wet": "leak", "throttling": "throttle",
    "throttled": "throttle", "utilised": "utilisation", "utilized": "utilisation",
    "battery": "battery", "batterie": "battery",
}  # fmt: skip

_DOCUMENTS = re.compile(
    r"\bhow (?:do|can|should|shall|must|to|does one|would you)\b"
    r"|\bwhat (?:do|should|must|shall|can|would) (?:i|we|one|you|the (?:shift|operator|engineer|team))\b"
    r"|\bwhat to do\b|\bwho\b|\bdo (?:i|we|you)\b|\b(?:above|below|over|under|beyond|from) which\b"
    r"|\bprocedures?\b|\b(?:sop|mop|eop)s?\b|\bmanuals?\b|\brunbooks?\b|\bsteps?\b|\binstructions?\b"
    r"|\bguides?\b|\bdocument(?:s|ation|ed)?\b|\baccording to\b|\brecommend\w*|\ballow\w*"
    r"|\bpermitted\b|\blimits?\b|\brated\b|\brating\b|\bspec(?:s|ification\w*)?\b|\bshould\b|\bmust\b"
    r"|\bmay (?:i|we|it|they|the|be)\b|\bwhy\b|\bexplain\b|\bmean(?:s|ing)?\b|\bdefin\w+"
    r"|\btroubleshoot\w*|\bremed\w+|\brepair\w*|\breplac\w+|\bpolicy\b|\bstandard\b|\btypical\w*"
    r"|\bdesign\w*|\bnominal\w*|\bneed(?:s|ed)? to\b|\bhas to\b|\bhave to\b|\brequire\w*"
    r"|\bbefore\b|\bafter\b|\bonce\b|\bduring\b|\bthreshold\b|\bverif\w+|\bwarning level\b"
    r"|\bat (?:what|which)\b|\bhow (?:often|long)\b|\bwhen (?:do|does|must|should|is|are|can|a|an|the)\b"
    r"|\bdifference between\b|\bpurpose\b|\bsupposed to\b|\bexpected\b|\bacceptable\b|\bnormal\w*"
    r"|\bcompare[ds]? (?:to|with)\b|\bcaus\w+|\brange\b|\bsupport(?:s|ed)?\b|\bcommand\b|\bregister\b",
    re.IGNORECASE,
)
_HYPOTHESIS = re.compile(
    r"\bwhat (?:happens|would happen|will happen|happened)\b.*\b(?:if|when)\b|\bwhat if\b"
    r"|\b(?:if|when|suppose|assuming)\b.*\b(?:fails?|trips?|dies|stops?|breaks?|is lost|goes)\b",
    re.IGNORECASE,
)
_NOW = re.compile(
    r"\b(?:now|currently|current(?! (?:transformer|limit|sensor|rating|per|draw|of \d))|right now"
    r"|at the moment|at present|presently|live|latest|just now|momentarily|these minutes)\b",
    re.IGNORECASE,
)
_LISTING = re.compile(
    r"^(?:please\s+)?(?:list|show|give|display|plot|chart|graph)\b|\ball\b|\bevery\b|\beach\b"
    r"|\bwhich\b|\bany\b|\bhow many\b|\bare there\b|\bis there\b",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"\b(?:is|are|reads?|shows?|reached|has reached|stands|stays|climbed|at|reports?)\s+(?:now\s+)?"
    r"(?:at|to|in)?\s*(?:-?\d+(?:[.,]\d+)?\s*(?:°\s?c|degrees?|celsius|k?w|%|v|a|pa|l/s)\b|alarm|fault"
    r"|hot|too hot|too warm|warm)",
    re.IGNORECASE,
)


_OPENING = re.compile(
    r"^(?:please\s+|and\s+|so\s+|but\s+)?(?:what|how|is|are|was|were|has|have|did|does|do|can|could|show"
    r"|give|tell|plot|chart|graph|list|display|which|where|who|when|read|any|why|predict|simulate)\b",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\b(?:is|are|has|have|was|were|went|keeps?|does(?: not|n't)|won't|cannot|can't|stopped|tripped|fails?"
    r"|failed|lost|dropped|stays?|stands?)\b",
    re.IGNORECASE,
)

_SITUATION = re.compile(
    r"(?<![\w.-])\d+(?:[.,]\d+)?\s*(?:°|degrees?\b|celsius\b|kelvin\b|%|percent\b|k?w\b|kilowatts?\b"
    r"|v\b|volts?\b|amps?\b|pa\b|l/s|hz\b|s\b|seconds?\b|minutes?\b)"
    r"|\btoo \w+|\b(?:rising|climbing|falling|dropping|overheat\w*|throttl\w+|leaking|beeping|stuck"
    r"|tripped|stopped|failed|failing|lost|dead|missing|short|low|high|worn|dirty|clogged|blocked|noisy"
    r"|abnormal)\b",
    re.IGNORECASE,
)
_SECOND = re.compile(
    r"(?:[,;:]|\b(?:and|or|but)\b)\s*(?:and\s+)?(?:what|who|when|how|which|why|then|pass or fail"
    r"|is (?:it|that|this))\b",
    re.IGNORECASE,
)


def tells_situation(text: str) -> bool:
    """Whether the user describes what they see and asks no reading: `GPU at 93 degrees in rack 2-04`."""
    return not _OPENING.search(text) and bool(_SITUATION.search(text))


def asks_twice(text: str) -> bool:
    """Whether a second question follows: `how much diesel is left and when to refuel`."""
    return bool(_SECOND.search(text))


def is_statement(text: str) -> bool:
    """Whether the user tells what happened instead of asking: `chwp-1 has stopped`."""
    return not _OPENING.search(text) and "?" not in text and bool(_TELLS.search(text))


def stem(word: str) -> str:
    """A word without its plural ending, in the spelling that is compared."""
    low = word.lower()
    if low in SAME:
        return SAME[low]
    if len(low) > 4 and low.endswith("ies"):
        low = low[:-3] + "y"
    elif len(low) > 3 and low.endswith("s") and not low.endswith(("ss", "us", "is")):
        low = low[:-1]
    return SAME.get(low, low)


def stems(text: str) -> frozenset[str]:
    """The stems of a text's words; numbers as they are."""
    return frozenset(stem(word) for word in _WORD.findall(text))


def has_word(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words or phrases stands in a text, whole and in any case."""
    low = text.lower()
    return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", low) for word in words)


def wants_documents(text: str) -> bool:
    """Whether a question asks for what is written: procedures, limits, reasons, meanings."""
    return bool(_DOCUMENTS.search(text))


def is_hypothesis(text: str) -> bool:
    """Whether a question speaks of what would be, not of what is."""
    return bool(_HYPOTHESIS.search(text))


def asks_now(text: str) -> bool:
    """Whether a question says that it means this moment."""
    return bool(_NOW.search(text))


def asks_list(text: str) -> bool:
    """Whether a question asks for a list or whether something exists."""
    return bool(_LISTING.search(text))


def states_reading(text: str) -> bool:
    """Whether the user tells a reading themselves: `CRAC-2 is at 27 °C`."""
    return bool(_STATEMENT.search(text))

"""Numbers with their units and bounds, brought to one normal form (pure functions).

`0.5 min` equals `30 s`, because both are 30 of the base unit of time; `30 s` never equals `30 °C`,
and `above 27 °C` does not equal `27 °C`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rag.codes import codes, normalise

# Unit → (dimension, factor to its base unit). Bits and bytes, and K as a difference and °C as a
# temperature, are dimensions of their own: converting them would need to know what is meant.
_FACTORS: dict[str, tuple[str, Fraction]] = {}


def _define(dimension: str, **units: str) -> None:
    for unit, factor in units.items():
        _FACTORS[unit] = (dimension, Fraction(factor))


_define("time", us="1/1000000", ms="1/1000", s="1", min="60", h="3600", day="86400")
_define("time", week="604800")
_define("months", month="1", year="12")
_define("power", mW="1/1000", W="1", kW="1000", MW="1000000", GW="1000000000")
_define("energy", J="1", kJ="1000", MJ="1000000", Wh="3600", kWh="3600000", MWh="3600000000")
_define("apparent power", VA="1", kVA="1000", MVA="1000000")
_define("voltage", mV="1/1000", V="1", kV="1000")
_define("current", mA="1/1000", A="1", kA="1000", Ah="1/1")
_define("pressure", Pa="1", hPa="100", kPa="1000", MPa="1000000", mbar="100", bar="100000")
_define("pressure psi", psi="1")
_define("flow", **{"m3/s": "1000", "m3/h": "5/18", "l/s": "1", "l/min": "1/60"})
_define("volume", ml="1/1000", l="1", m3="1000")
_define("length", mm="1/1000", cm="1/100", m="1", km="1000", inch="254/10000", ft="3048/10000")
_define("mass", g="1/1000", kg="1", t="1000", lb="45359237/100000000")
_define("speed", **{"m/s": "1", "km/h": "5/18"})
_define("frequency", Hz="1", kHz="1000", MHz="1000000", GHz="1000000000")
_define("rotation", rpm="1")
_define("share", **{"%": "1"})
_define("parts", ppm="1")
_define("celsius", c="1")
_define("kelvin", k="1")
_define("fahrenheit", f="1")
_define("level", dB="1", dBm="1", dBA="1")
_define("rack units", U="1")
_define("bytes", **{f"{p}B": str(1000**i) for i, p in enumerate(("", "k", "M", "G", "T", "P"))})
_define("bytes", **{f"{p}iB": str(1024**i) for i, p in enumerate(("K", "M", "G", "T"), start=1)})
_define("bit rate", **{f"{p}b/s": str(1000**i) for i, p in enumerate(("", "k", "M", "G", "T"))})
_FACTORS["Ah"] = ("charge", Fraction(1))
for _level in ("dBm", "dBA"):
    _FACTORS[_level] = (_level, Fraction(1))

# How units are written. Letters whose case tells units apart (m, M; s, S) are compared exactly.
_SPELLINGS = {
    "°c": "c", "degrees celsius": "c", "degree celsius": "c", "celsius": "c", "degc": "c",
    "deg c": "c", "degrees c": "c", "℃": "c", "degrees": "c", "degree": "c", "C": "c",
    "°f": "f", "degrees fahrenheit": "f", "fahrenheit": "f", "℉": "f", "K": "k", "kelvin": "k",
    "percent": "%", "per cent": "%", "pct": "%",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "S": "s",
    "mins": "min", "minute": "min", "minutes": "min",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "H": "h",
    "days": "day", "d": "day", "weeks": "week", "months": "month", "years": "year", "yr": "year",
    "millisecond": "ms", "milliseconds": "ms", "msec": "ms", "µs": "us", "microseconds": "us",
    "watt": "W", "watts": "W", "kilowatt": "kW", "kilowatts": "kW", "KW": "kW", "kw": "kW",
    "megawatts": "MW", "volt": "V", "volts": "V", "amp": "A", "amps": "A", "ampere": "A",
    "amperes": "A", "pascal": "Pa", "pascals": "Pa", "kpa": "kPa", "pa": "Pa", "bars": "bar",
    "l/s": "l/s", "L/s": "l/s", "litres per second": "l/s", "liters per second": "l/s",
    "L/min": "l/min", "m³/s": "m3/s", "m³/h": "m3/h", "m^3/s": "m3/s", "m^3/h": "m3/h",
    "m³": "m3", "litre": "l", "litres": "l", "liter": "l", "liters": "l", "L": "l",
    "millimetre": "mm", "millimetres": "mm", "millimeters": "mm", "metre": "m", "metres": "m",
    "meter": "m", "meters": "m", "inches": "inch", "in.": "inch", '"': "inch", "feet": "ft",
    "kilogram": "kg", "kilograms": "kg", "tonnes": "t", "lbs": "lb", "pounds": "lb",
    "hertz": "Hz", "RPM": "rpm", "KB": "kB", "bytes": "B", "byte": "B",
    "Gbps": "Gb/s", "Mbps": "Mb/s", "kbps": "kb/s", "Tbps": "Tb/s", "Gbit/s": "Gb/s",
    "Mbit/s": "Mb/s", "Kbps": "kb/s",
}  # fmt: skip
# Units that are also words or letters of codes are read only right after a number, so `in`, `a`
# and `g` stay out, and `U` and `t` are read as written.
_UNIT_TOKENS = sorted({*_FACTORS, *_SPELLINGS} - {"d", "f", "k", "g"}, key=len, reverse=True)
_UNIT = "|".join(re.escape(token).replace(r"\ ", r"\s+") for token in _UNIT_TOKENS)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)*"
_QUANTITY = re.compile(
    rf"(?<![\w.])(?<![A-Za-z]-)(?P<sign>[-−+]?)(?P<number>{_NUMBER})"
    rf"(?:[ \t\u00a0\u202f]*(?:-[ \t]?(?=[a-z]))?(?P<unit>°\s?[CF]|{_UNIT})(?![\w³/]))?(?!\w)",
)
_GLUED = re.compile(
    rf"(?<![\w.-])(?P<sign>[-−+]?)(?P<number>{_NUMBER})(?P<unit>x|th|st|nd|rd)\b", re.IGNORECASE
)
_COUNTED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
_COUNT_WORDS = {word: value for value, word in enumerate(_COUNTED.split(" ")) if word != "one"}
_COUNT_WORDS |= {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90, "hundred": 100}
_COUNT_WORD = re.compile(
    rf"\b(?P<word>{'|'.join(_COUNT_WORDS)})\b(?:[ \t]+(?P<unit>{_UNIT})(?![\w/]))?", re.IGNORECASE
)
_FRACTION_WORDS = {"half": Fraction(1, 2), "quarter": Fraction(1, 4)}
_LIST_MARK = re.compile(r"^\s*\d{1,2}[.)]\s+")
_RANGE_GAP = re.compile(r"^\s*(?:to|and|–|—|-|…|\.\.|or|±|\+/-)\s*$", re.IGNORECASE)

_BEFORE = (
    ("at_least", r"at least|minimum(?: of)?|min\.?|no(?:t)? less than|not below|≥|>=|not under"),
    ("at_most", r"at most|maximum(?: of)?|max\.?|up to|no(?:t)? more than|not above|≤|<=|not over"
                r"|no(?:t)? longer than|not exceed(?:ing)?"),
    ("within", r"within|in under|in less than"),
    ("above", r"above|over|more than|greater than|higher than|exceed(?:s|ing|ed)?|>|longer than"),
    ("below", r"below|under|less than|lower than|fewer than|<|shorter than|beneath"),
    ("about", r"about|around|approximately|approx\.?|roughly|some|~|nearly|almost"),
)  # fmt: skip
_BEFORE_RE = [
    (name, re.compile(rf"(?:^|[\s(])(?:{pattern})\s*(?:the |a |an |its )?$", re.IGNORECASE))
    for name, pattern in _BEFORE
]
_AFTER_RE = [
    (
        "at_least",
        re.compile(r"^\s*(?:or (?:more|above|higher|longer|over)|and above(?!\s*\d))\b", re.I),
    ),
    ("at_most", re.compile(r"^\s*(?:or (?:less|below|lower|fewer|shorter|under))\b", re.I)),
]


@dataclass(frozen=True)
class Quantity:
    """`value` in the base unit of `dimension` ('' for a bare number); `written` as it stood.

    `bound` is at_least, at_most, within, above, below, about, or ''. `start` is where it stood.
    """

    value: Fraction
    dimension: str
    bound: str
    written: str
    start: int

    @property
    def key(self) -> tuple[Fraction, str]:
        """What must be equal for two quantities to state the same amount."""
        return self.value, self.dimension


def quantities(text: str) -> list[Quantity]:
    """The quantities of a text in order.

    Both ends of a range carry its unit (`20 to 23 °C`). List marks and citation marks `[2]` are
    none; number words count from two.
    """
    plain = re.sub(r"\[\d{1,2}\]", lambda m: " " * len(m.group()), text)
    plain = _LIST_MARK.sub(lambda m: " " * len(m.group()), plain)
    found = sorted(_written(plain), key=lambda item: item[0])
    spread = _spread_units(plain, found)
    return [
        Quantity(value * factor, dimension, _bound(plain, start, end), plain[start:end], start)
        for start, end, value, dimension, factor in spread
    ]


_Raw = tuple[int, int, Fraction, str, Fraction]


def _written(text: str) -> Iterator[_Raw]:
    for match in _QUANTITY.finditer(text):
        value = _value(match["number"])
        if value is None:
            continue
        if match["sign"] in {"-", "−"} and not _is_joint(text, match.start()):
            value = -value
        yield (match.start(), match.end(), value, *_unit(match["unit"]))
    for match in _GLUED.finditer(text):
        value = _value(match["number"])
        if value is not None:
            suffix = match["unit"].lower()
            yield match.start(), match.end(), value, "x" if suffix == "x" else "", Fraction(1)
    for match in _COUNT_WORD.finditer(text):
        value = Fraction(_COUNT_WORDS[match["word"].lower()])
        yield (match.start(), match.end(), value, *_unit(match["unit"]))
    for match in re.finditer(r"\b(half|quarter)\s+(?:of\s+)?an?\s+(hour|minute|day)\b", text, re.I):
        factor = _unit(match[2].lower())
        yield match.start(), match.end(), _FRACTION_WORDS[match[1].lower()], *factor


def _is_joint(text: str, start: int) -> bool:
    """Whether a minus joins two numbers (`20-23`) or words instead of being a sign."""
    return start > 0 and not text[start - 1].isspace() and text[start - 1] not in "(=<>"


def _value(digits: str) -> Fraction | None:
    """The number; None for what is none (`1.2.3`)."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    digits = digits.replace(",", ".")
    return Fraction(digits) if digits.count(".") <= 1 else None


def _unit(written: str | None) -> tuple[str, Fraction]:
    if not written:
        return "", Fraction(1)
    text = re.sub(r"\s+", " ", written).replace("° ", "°")
    for name in (text, _SPELLINGS.get(text), _SPELLINGS.get(text.lower()), text.lower()):
        if name in _FACTORS:
            return _FACTORS[name]
    return text.lower(), Fraction(1)


def _spread_units(text: str, found: list[_Raw]) -> list[_Raw]:
    """Give the unit at the end of a range to its start: `20 to 23 °C`, `9 and 12 °C`."""
    result = list(found)
    for index in range(len(result) - 2, -1, -1):
        start, end, value, dimension, _factor = result[index]
        after = result[index + 1]
        if not dimension and after[3] and _RANGE_GAP.match(text[end : after[0]]):
            if text[end : after[0]].strip().lower() in {"and", "or"} and not re.search(
                r"\b(?:between|either|from)\s*$", text[:start], re.IGNORECASE
            ):
                continue
            result[index] = (start, end, value, after[3], after[4])
    return result


def _bound(text: str, start: int, end: int) -> str:
    before, after = text[max(0, start - 30) : start], text[end : end + 20]
    for name, pattern in _AFTER_RE:
        if pattern.search(after):
            return name
    for name, pattern in _BEFORE_RE:
        if pattern.search(before):
            return name
    return ""


def missing_quantity(sentence: str, source: str) -> str | None:
    """The first quantity of the sentence that the source does not state, as written, or None.

    The amount must be equal after conversion; where the sentence gives no unit, any source
    quantity written with the same digits will do. The bound (`above`, `at least`, …) must be one
    that the source has for the amount.
    """
    stated: dict[tuple[Fraction, str], set[str]] = {}
    digits: dict[Fraction, set[str]] = {}
    for quantity in quantities(source):
        stated.setdefault(quantity.key, set()).add(quantity.bound)
        if (value := amount(quantity, "")) is not None:
            digits.setdefault(value, set()).add(quantity.bound)
    named = set(codes(source))
    for quantity in quantities(sentence):
        bounds = stated.get(quantity.key)
        if bounds is None and not quantity.dimension:
            bounds = digits.get(quantity.value)
            if bounds is None and is_name_ending(sentence, quantity, named):
                bounds = {quantity.bound}  # `CRAC 4` of the source's crac-4
        if bounds is None:
            return quantity.written
        if quantity.bound not in bounds and not _is_alike(quantity.bound, bounds):
            return f"{quantity.bound.replace('_', ' ') or 'exactly'} {quantity.written}"
    return None


def amount(quantity: Quantity, dimension: str) -> Fraction | None:
    """The quantity's value as one of this dimension, or None; '' asks for its written digits."""
    if dimension:
        return quantity.value if quantity.dimension == dimension else None
    number = re.search(_NUMBER, quantity.written)
    return _value(number.group()) if number else quantity.value


def is_name_ending(sentence: str, quantity: Quantity, names: set[str]) -> bool:
    """Whether a bare number ends one of these normalised names with the word before it."""
    word = re.search(r"([A-Za-z]+)[\s\u00a0-]*$", sentence[: quantity.start])
    if word is None or quantity.dimension:
        return False
    return normalise(f"{word[1]} {quantity.written}") in names


def _is_alike(bound: str, bounds: set[str]) -> bool:
    """`within` and `at most` say the same of a time; `about` may be left out of neither."""
    return {bound} | bounds >= {"within", "at_most"} and bound in {"within", "at_most"}

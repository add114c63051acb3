"""May an answer be given at all? What must hold beyond retrieval's own confidence.

A small model always answers. Asked about CRAC-7 where the documents know CRAC-1 to CRAC-4, or for
the warranty of a fan that the documents only switch on and off, the honest answer is that they do
not say.
"""

import re
from collections.abc import Callable, Sequence

from rag.answers.evidence import Evidence
from rag.answers.extraction import Piece, asked_dimension
from rag.answers.quantities import quantities
from rag.codes import codes

BEST_PIECES = 8


def objection(
    evidence: Evidence, pieces: Sequence[Piece], *, is_asset: Callable[[str], bool]
) -> str | None:
    """Why the passages do not answer the question, as a sentence for the reader, or None where
    they may. How sure it is in general: `rag.answers.answerable`."""
    if evidence.named.missing_step:
        return missing_step(evidence)
    if evidence.named.is_precise or (evidence.live and evidence.live.is_asked_for):
        return None
    if reason := code_objection(evidence, is_asset=is_asset):
        return reason
    if evidence.live is not None:
        return None
    return _missing_quantity(evidence.asked, pieces)


def code_objection(evidence: Evidence, *, is_asset: Callable[[str], bool]) -> str:
    """`No document that was found speaks of CRAC-7.`; '' where there is nothing to object."""
    code = unknown_code(evidence, is_asset)
    return f"No document that was found speaks of {code}." if code else ""


def missing_step(evidence: Evidence) -> str:
    """`EOP-CRAC-01 has no step 14; its steps are 1 to 10.`"""
    named = evidence.named
    name = named.slugs[0].upper()
    if not named.steps:
        return f"{name} has no numbered steps."
    return f"{name} has no step {named.step}; its steps are {named.steps[0]} to {named.steps[-1]}."


def unknown_code(evidence: Evidence, is_asset: Callable[[str], bool]) -> str | None:
    """An identifier of the question that no passage has, though they have others of its family.

    Of `crac-7`, `crac` is the family. An asset of the facility is known even where a procedure
    speaks of its kind only; so is `XID 74` where a text lists `XID 63, 64 and 74`.
    """
    texts = [f"{hit.document}\n{hit.title}\n{hit.section}\n{hit.text}" for hit in evidence.hits]
    held: set[str] = set()
    for text in texts:
        held |= set(codes(text))
    families = {_family(code) for code in held}
    for code in codes(evidence.asked):
        if code in held or _family(code) not in families or not any(c.isdigit() for c in code):
            continue
        if _is_part_of(code, held) or _is_listed(code, texts) or is_asset(code):
            continue
        return code.upper()
    return None


def _family(code: str) -> str:
    return code.split("-")[0]


def _is_part_of(code: str, held: set[str]) -> bool:
    """Whether the code begins or extends a known one: `srv-5` of `srv-5-gpu-3`."""
    return any(other.startswith(f"{code}-") or code.startswith(f"{other}-") for other in held)


def _is_listed(code: str, texts: Sequence[str]) -> bool:
    """Whether a text that names the family has the number as an entry of a list."""
    family, number = _family(code), re.escape(code.split("-")[-1])
    entry = re.compile(rf"(?:^|[.;,:(|/]\s*|\b(?:or|and)\s+)0*{number}\b(?!\s*[%°])", re.MULTILINE)
    named = re.compile(rf"\b{re.escape(family)}s?\b", re.IGNORECASE)
    return any(named.search(text) and entry.search(text) for text in texts)


def _missing_quantity(question: str, pieces: Sequence[Piece]) -> str | None:
    """Asked for a quantity of a kind, one of the best pieces must state one."""
    dimension = asked_dimension(question)
    if not dimension:
        return None
    known = {quantity.key for quantity in quantities(question)}
    for piece in pieces[:BEST_PIECES]:
        given = [quantity for quantity in quantities(piece.text) if quantity.key not in known]
        if any(quantity.dimension in {dimension, ""} for quantity in given):
            return None
    return "The passages found state no such quantity."

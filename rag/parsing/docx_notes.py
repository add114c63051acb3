"""Footnotes and endnotes of a DOCX, for the place that refers to them.

A limit that stands in a footnote belongs to the sentence with its number: text that was torn apart
could be cited without it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PARTS = {"footnote": "/footnotes", "endnote": "/endnotes"}
_MARKS = {W + f"{kind}Reference": kind for kind in _PARTS}


@dataclass
class Notes:
    """The notes by kind and id. Each is given once, at its first reference."""

    found: dict[tuple[str, str], Any] = field(default_factory=dict)
    _given: set[tuple[str, str]] = field(default_factory=set)
    _inside: bool = False

    def text_at(self, mark: Any, read: Callable[[Any], str]) -> str:
        """What the note of a reference mark says, by `read` of its paragraphs; '' for another
        element, for a note given before, and for a mark inside a note."""
        kind = _MARKS.get(mark.tag)
        key = (kind or "", mark.get(W + "id") or "")
        note = self.found.get(key)
        if kind is None or note is None or key in self._given or self._inside:
            return ""
        self._given.add(key)
        self._inside = True
        try:
            words = " ".join(" ".join(read(line) for line in note.iter(W + "p")).split())
        finally:
            self._inside = False
        return f"{kind}: {words}" if words else ""


def notes_of(document: Any) -> Notes:
    """The notes of a python-docx document. Raises lxml's XMLSyntaxError for a broken part."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    notes = Notes()
    for relation in document.part.rels.values():
        for kind, ending in _PARTS.items():
            if relation.is_external or not relation.reltype.endswith(ending):
                continue
            root = etree.fromstring(relation.target_part.blob, parser)
            for note in root.iter(W + kind):
                if note.get(W + "type", "normal") == "normal":  # others are the separating lines
                    notes.found[kind, note.get(W + "id") or ""] = note
    return notes

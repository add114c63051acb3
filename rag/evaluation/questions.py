"""Golden questions of the database: made on the bench or from feedback, edited, retired."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rag.access import Reader, readable
from rag.evaluation.golden import Golden, GoldenInvalid, golden_of
from rag.evaluation.resolving import Library, resolve
from rag.models import GoldenQuestion, Passage

# A passage without a step is named by its document and this many of its first words.
NAMED_BY_WORDS = 14
MAX_RELEVANT = 30
MAX_FACTS = 20
HIDDEN = "a document that you may not read"


def golden_question_save(
    *,
    query: str,
    relevant: Sequence[Any],
    reader: Reader,
    user: Any,
    key_facts: Sequence[str] = (),
    is_answerable: bool = True,
    question: GoldenQuestion | None = None,
    is_active: bool = True,
) -> GoldenQuestion:
    """Create a golden question, or change the given one.

    `relevant` has the form of the golden files; every entry must name something that the reader
    finds in the documents in force. Raises GoldenInvalid with one sentence for the person.
    """
    query = " ".join(query.split())[:1000]
    wanted = [item for item in relevant if item][:MAX_RELEVANT] if is_answerable else []
    facts = [fact.strip() for fact in key_facts if fact.strip()][:MAX_FACTS]
    entry = {
        "query": query,
        "relevant": wanted,
        "key_facts": facts,
        "answerable": is_answerable,
    }
    if not query:
        raise GoldenInvalid("The question is empty.")
    if is_answerable and not wanted:
        raise GoldenInvalid("Mark at least one passage that answers, or say that none does.")
    (judged,) = resolve([golden_of(entry, place="the question", name="golden")], Library(reader))
    if judged.missing:
        raise GoldenInvalid(
            f"Not among the documents in force that you may read: {', '.join(judged.missing)}."
        )
    same = GoldenQuestion.objects.filter(query__iexact=query, is_active=True)
    if question is not None:
        same = same.exclude(pk=question.pk)
    if is_active and (known := same.first()):
        raise GoldenInvalid(
            f"This question is golden already (number {known.pk}); change that one."
        )
    question = question or GoldenQuestion(created_by=user)
    question.query, question.relevant, question.key_facts = query, wanted, facts
    question.is_answerable, question.is_active = is_answerable, is_active
    question.save()
    return question


def targets_of_passages(passage_ids: Iterable[int], reader: Reader) -> list[Any]:
    """Passages by names that outlive a new revision: `slug#step`, or a document with the first
    words of the passage. Those that the reader may not read are left out. One query."""
    passages = (
        Passage.objects.filter(
            readable(reader, "revision__document__collection"), pk__in=list(passage_ids)
        )
        .select_related("revision__document")
        .defer("tsv")
        .order_by("revision_id", "ordinal")
    )
    found: list[Any] = []
    for passage in passages:
        slug = passage.revision.document.slug
        if passage.step is not None:
            target: Any = f"{slug}#{passage.step}"
        else:
            words = passage.text.split()[:NAMED_BY_WORDS]
            target = {"document": slug, "contains": " ".join(words)}
        if target not in found:
            found.append(target)
    return found


def targets_of_lines(text: str) -> list[Any]:
    """What a person wrote in a form, one per line: `eop-crac-01`, `eop-crac-01#4`, a file name,
    or a document and words of the passage: `CephOSDFlapping.md: osd set noup`."""
    found: list[Any] = []
    for line in text.splitlines():
        if line.lstrip().startswith("{"):
            found.append(_object(line))
            continue
        name, separator, words = line.strip().partition(": ")
        if separator and words.strip():
            found.append({"document": name.strip(), "contains": words.strip()})
        elif name:
            found.append(name)
    return found


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise GoldenInvalid(f"{line[:60]!r} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise GoldenInvalid(f"{line[:60]!r} is not an object with a document.")
    return value


def lines_of_targets(relevant: Sequence[Any]) -> str:
    """The inverse of `targets_of_lines`, for the form; what it cannot say stays as JSON."""
    lines = []
    for item in relevant:
        if isinstance(item, dict) and set(item) == {"document", "contains"}:
            lines.append(f"{item['document']}: {item['contains']}")
        else:
            lines.append(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False))
    return "\n".join(lines)


@dataclass(frozen=True)
class Listed:
    """A golden question as a list shows it: `targets` are (label, whether it is found)."""

    question: GoldenQuestion
    targets: list[tuple[str, bool]]
    lines: str

    @property
    def needs_attention(self) -> bool:
        """Whether a passage that answered is no longer among the documents in force."""
        return self.question.is_answerable and not all(found for _label, found in self.targets)


def questions_list(questions: Sequence[GoldenQuestion], reader: Reader) -> list[Listed]:
    """The questions with what answers them, as this reader may see it."""
    library = Library(reader)
    labels = LabelFilter(library)
    listed = []
    for question in questions:
        golden = _golden(question)
        if golden is None:
            listed.append(Listed(question, [("cannot be read; edit it", False)], ""))
            continue
        (judged,) = resolve([golden], library)
        missing = set(judged.missing)
        targets = []
        for target in golden.relevant:
            label = str(target)
            shown = labels.shown(label)
            targets.append((shown, label not in missing or shown == HIDDEN))
        hidden = any(label == HIDDEN for label, _found in targets)
        lines = "" if hidden else lines_of_targets(question.relevant)
        listed.append(Listed(question, targets, lines))
    return listed


class LabelFilter:
    """Replaces the names of documents that a reader may not read in stored labels."""

    def __init__(self, library: Library) -> None:
        """Ask the library of the reader first, and that of everybody for the rest."""
        self.library = library
        self.everything = (
            library if library.reader.sees_all else Library(Reader(sees_all=True), library.at)
        )

    def shown(self, label: str) -> str:
        """The label, or that it is hidden: by the document's name, its part before ` · `."""
        name = label.split(" · ", 1)[0]
        if self.library.revisions(name) or not self.everything.revisions(name):
            # Without a document of that name the words may still be somebody's.
            is_passage = re.fullmatch(r"passage \d+|“.*”", name) is not None
            return HIDDEN if is_passage and not self.library.reader.sees_all else label
        return HIDDEN


def _golden(question: GoldenQuestion) -> Golden | None:
    try:
        return golden_of(question.as_entry(), place=f"question {question.pk}")
    except GoldenInvalid:
        return None

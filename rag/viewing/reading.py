"""One revision as it is read: which passages are shown, what leads to the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.utils.safestring import SafeString

from rag.models import Document, Passage, Revision, StoredFile
from rag.rendering import passage_html
from rag.viewing.page_images import PDF

#: Passages of one part of a long text, and entries of an outline.
PART, OUTLINE = 120, 400
OUTLINE_LEVELS = 3


@dataclass(frozen=True)
class PassageView:
    """A passage as the viewer shows it; `headings` are the ones that begin with it."""

    passage: Passage
    headings: list[tuple[int, str]]
    html: SafeString
    is_cited: bool = False


@dataclass(frozen=True)
class Box:
    """A place on the page that is shown, in points from its upper left corner."""

    anchor: str
    left: float
    top: float
    width: float
    height: float
    is_cited: bool


@dataclass(frozen=True)
class Section:
    """An entry of the outline; `is_here` when its passage is among those that are shown."""

    level: int
    title: str
    anchor: str
    ordinal: int
    page: int | None
    is_here: bool


@dataclass(frozen=True)
class Reading:
    """What is shown of a revision. Either a page of its PDF with the text beside it (`page`), or
    a part of its text (`part` of `parts`)."""

    views: list[PassageView]
    outline: list[Section]
    count: int
    cited: int | None
    page: int | None = None
    pages: int | None = None
    part: int = 1
    parts: int = 1
    boxes: list[Box] = field(default_factory=list)


def can_show_pages(revision: Revision) -> bool:
    """Whether the revision's file is a PDF that was kept. One query."""
    if revision.file_id is None or not revision.pages:
        return False
    return StoredFile.objects.filter(pk=revision.file_id, media_type=PDF).exists()


def reading_of(
    *, revision: Revision, cited: int | None, page: int | None, part: int | None, as_pages: bool
) -> Reading:
    """The page or part that is asked for, else the one with the cited passage, else the first.

    `cited` is a passage's ordinal. Two queries, whatever the size of the document.
    """
    heads = list(
        revision.passages.order_by("ordinal").values_list("ordinal", "section_path", "page")
    )
    if as_pages and revision.pages:
        place = next((where for ordinal, _, where in heads if ordinal == cited), None)
        shown = min(max(1, page or place or 1), revision.pages)
        # A passage may begin on an earlier page and end on this one.
        near = revision.passages.filter(Q(page=shown) | Q(boxes__contains=[[shown]]))
        passages = [
            passage
            for passage in near.order_by("ordinal").defer("tsv")
            if passage.page == shown or _boxes(passage, shown)
        ]
        return Reading(
            views=_views(revision, passages, heads, cited),
            outline=_outline(heads, {p.ordinal for p in passages}),
            count=len(heads),
            cited=cited,
            page=shown,
            pages=revision.pages,
            boxes=[
                Box(p.anchor, left, top, right - left, bottom - top, p.ordinal == cited)
                for p in passages
                for left, top, right, bottom in _boxes(p, shown)
            ],
        )
    parts = max(1, -(-len(heads) // PART))
    index = next((i for i, (ordinal, _, _) in enumerate(heads) if ordinal == cited), 0)
    chosen = min(max(1, part or index // PART + 1), parts)
    window = [ordinal for ordinal, _, _ in heads[(chosen - 1) * PART : chosen * PART]]
    passages = list(revision.passages.filter(ordinal__in=window).order_by("ordinal").defer("tsv"))
    return Reading(
        views=_views(revision, passages, heads, cited),
        outline=_outline(heads, set(window)),
        count=len(heads),
        cited=cited,
        part=chosen,
        parts=parts,
    )


def _boxes(passage: Passage, page: int) -> list[tuple[float, float, float, float]]:
    found = []
    for box in passage.boxes:
        if len(box) == 5 and box[0] == page and box[3] > box[1] and box[4] > box[2]:
            found.append((float(box[1]), float(box[2]), float(box[3]), float(box[4])))
    return found


def _views(
    revision: Revision,
    passages: Sequence[Passage],
    heads: list[tuple[int, list[str], int | None]],
    cited: int | None,
) -> list[PassageView]:
    paths = {ordinal: list(path) for ordinal, path, _ in heads}
    before: list[str] = []
    if passages and passages[0].ordinal - 1 in paths:
        before = paths[passages[0].ordinal - 1]
    views = []
    for passage in passages:
        path = list(passage.section_path)
        common = _common(path, before)
        headings = [(min(level + 2, 6), path[level]) for level in range(common, len(path))]
        html = passage_html(text=passage.text, markup=revision.markup)
        views.append(PassageView(passage, headings, html, passage.ordinal == cited))
        before = path
    return views


def _outline(heads: list[tuple[int, list[str], int | None]], here: set[int]) -> list[Section]:
    found: list[Section] = []
    before: list[str] = []
    for ordinal, path, page in heads:
        for level in range(_common(path, before), min(len(path), OUTLINE_LEVELS)):
            found.append(
                Section(level + 2, path[level], f"p-{ordinal}", ordinal, page, ordinal in here)
            )
        before = path
        if len(found) >= OUTLINE:
            break
    return found


def _common(path: Sequence[str], before: Sequence[str]) -> int:
    common = 0
    while common < min(len(path), len(before)) and path[common] == before[common]:
        common += 1
    return common


def facts_of(document: Document, revision: Revision) -> list[tuple[str, str]]:
    """The front matter worth showing beside a document."""
    shown: list[tuple[str, str]] = []
    for key in ("id", "risk", "assets", "alarms", "supersedes"):
        value: Any = revision.meta.get(key)
        if value:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            shown.append((key.capitalize() if key != "id" else "Number", text))
    if revision.pages:
        shown.append(("Pages", str(revision.pages)))
    return shown

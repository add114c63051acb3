"""The passage cutter: structure, and what must hold for any document."""

from hypothesis import given
from hypothesis import strategies as st

from rag.intake.passages import MAX_WORDS, cut, word_count
from rag.parsing import parse
from rag.parsing.blocks import Block, ParsedDocument
from rag.tests.corpus import CRAC

WORD = st.text("abcxyz.!|-`3", min_size=1, max_size=8)
TEXT = st.lists(st.lists(WORD, min_size=1, max_size=40).map(" ".join), min_size=1, max_size=8).map(
    "\n".join
)
BLOCK = st.one_of(
    st.builds(Block, st.just("heading"), st.lists(WORD, min_size=1, max_size=4).map(" ".join),
              st.integers(1, 6), st.just(None)),
    st.builds(Block, st.sampled_from(["paragraph", "item"]), TEXT, st.just(0),
              st.sampled_from([None, 1, 2])),
)  # fmt: skip


def test_it_cuts_a_procedure_at_its_steps():
    cuts = cut(parse(data=CRAC.encode(), name="crac.md"))

    assert [(piece.section_path, piece.step) for piece in cuts] == [
        (("Purpose",), None),
        (("Steps", "Step 1 — Confirm the trip"), 1),
        (("Steps", "Step 2 — Start the standby CRAC"), 2),
        (("Back-out",), None),
    ]
    assert "**Verify:**" in cuts[2].text
    assert "**Warning:**" in cuts[2].text
    assert [piece.anchor for piece in cuts] == ["p-1", "p-2", "p-3", "p-4"]


def test_it_keeps_the_page():
    blocks = [Block("paragraph", "one", page=1), Block("paragraph", "two", page=2)]
    assert [(piece.page, piece.text) for piece in cut(ParsedDocument("t", blocks))] == [
        (1, "one"),
        (2, "two"),
    ]


def test_it_repeats_the_table_header():
    rows = "\n".join(f"| row {n} | value {n} |" for n in range(60))
    table = Block("table", f"| name | value |\n|---|---|\n{rows}")
    cuts = cut(ParsedDocument("t", [table]))

    assert len(cuts) > 1
    assert all(piece.text.startswith("| name | value |\n|---|---|\n| row") for piece in cuts)
    assert sum(piece.text.count("| row ") for piece in cuts) == 60


def test_it_keeps_code_fenced():
    lines = "\n".join(f"command number {n}" for n in range(120))
    cuts = cut(ParsedDocument("t", [Block("code", f"```sh\n{lines}\n```")]))

    assert len(cuts) > 1
    assert all(piece.text.startswith("```sh\n") for piece in cuts)
    assert all(piece.text.endswith("\n```") for piece in cuts)


def test_it_keeps_a_heading_without_text():
    blocks = [Block("heading", "Alone", 2), Block("heading", "Next", 2), Block("paragraph", "x")]
    assert [(piece.section_path, piece.text) for piece in cut(ParsedDocument("t", blocks))] == [
        (("Alone",), "Alone"),
        (("Next",), "x"),
    ]


@given(st.lists(BLOCK, max_size=20), st.integers(5, MAX_WORDS))
def test_it_loses_no_text_keeps_the_order_and_the_limit(blocks, limit):
    cuts = cut(ParsedDocument("t", blocks), max_words=limit)

    assert [piece.ordinal for piece in cuts] == list(range(1, len(cuts) + 1))
    assert all(word_count(piece.text) >= 1 for piece in cuts)
    assert all(
        word_count(piece.text) <= limit
        for piece in cuts
        if piece.section_path[-1:] != (piece.text,)
    )
    body = [word for block in blocks if block.kind != "heading" for word in block.text.split()]
    bare = {piece.ordinal for piece in cuts if piece.section_path[-1:] == (piece.text,)}
    shown = [word for piece in cuts if piece.ordinal not in bare for word in piece.text.split()]
    assert _without_repeats(shown, body)
    titles = {title for piece in cuts for title in piece.section_path}
    assert titles == {block.text for block in blocks if block.kind == "heading"}


def _without_repeats(shown: list[str], body: list[str]) -> bool:
    """Equal, or `shown` lacks only words of bodies that equal their own heading."""
    if shown == body:
        return True
    iterator = iter(body)
    return all(word in iterator for word in shown)

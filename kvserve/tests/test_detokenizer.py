"""Text leaves whole and never runs past a stop string, however the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from kvserve.text.detokenizer import TextStream


@given(text=st.text(max_size=60), size=st.integers(1, 5))
def test_it_gives_back_any_text_cut_anywhere(text: str, size: int) -> None:
    data = text.encode()
    stream = TextStream()
    parts = [stream.feed(data[i : i + size]).text for i in range(0, len(data), size)]
    assert "".join(parts) + stream.feed(b"", final=True).text == text


@given(text=st.text("abc", max_size=30), stop=st.text("abc", min_size=1, max_size=4))
def test_it_ends_where_a_stop_string_begins(text: str, stop: str) -> None:
    stream = TextStream((stop,))
    got, stopped = "", False
    for i, char in enumerate(text):
        piece = stream.feed(char.encode(), final=i == len(text) - 1)
        got += piece.text
        if stopped := piece.stopped:
            break
    assert stopped == (stop in text)
    assert got == text.split(stop)[0]


def test_it_marks_broken_utf8_at_the_end() -> None:
    stream = TextStream()
    assert stream.feed("é".encode()[:1]).text == ""
    assert stream.feed(b"", final=True).text == "\N{REPLACEMENT CHARACTER}"

"""Files to blocks: each format, and files that are broken, hostile or too large."""

import io

import pytest
from pypdf import PdfWriter

from rag.parsing import ParseError, can_parse, parse
from rag.parsing.blocks import MAX_DOCUMENT_BYTES


def pdf(text_by_page: list[str], *, password: str = "") -> bytes:
    """A small PDF with one line of text a page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(len(text_by_page)))
    objects.append(f"<< /Type /Pages /Count {len(text_by_page)} /Kids [{kids}] >>")
    font = 3 + 2 * len(text_by_page)
    for index, text in enumerate(text_by_page):
        lines = "".join(f"({line}) Tj 0 -16 Td " for line in text.split("\n"))
        stream = f"BT /F1 12 Tf 72 700 Td {lines}ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * index} 0 R "
            f"/Resources << /Font << /F1 {font} 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode()
    if not password:
        return out
    writer = PdfWriter(clone_from=io.BytesIO(out))
    writer.encrypt(password, algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_it_takes_the_title_from_front_matter_then_heading_then_name():
    with_meta = parse(data=b"---\ntitle: From meta\n---\n# From heading\n\ntext", name="a.md")
    assert with_meta.title == "From meta"
    assert parse(data=b"# From heading\n\ntext", name="a.md").title == "From heading"
    assert parse(data=b"only text", name="crac_failure-2.md").title == "crac failure 2"


def test_it_cuts_markdown_into_blocks():
    source = b"""## A `code` heading

Para one
goes on.

- item one
  - nested
- item two

| a | b |
|---|---|
| 1 | 2 |

```sh
run --it
```
"""
    kinds = [(block.kind, block.text) for block in parse(data=source, name="a.md").blocks]
    assert kinds == [
        ("heading", "A code heading"),
        ("paragraph", "Para one\ngoes on."),
        ("item", "- item one\n  - nested"),
        ("item", "- item two"),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("code", "```sh\nrun --it\n```"),
    ]


def test_it_resolves_reference_links_and_drops_comments():
    source = b"See [the page][1].<!-- hidden -->\n\n[1]: https://example.org/x\n"
    (block,) = parse(data=source, name="a.md").blocks
    assert block.text == "See [the page](https://example.org/x)."


def test_it_names_the_line_of_broken_front_matter():
    with pytest.raises(ParseError, match=r"a\.md: front matter is not valid YAML in line 4"):
        parse(data=b"---\ntitle: x\nkind: [\n---\ntext", name="a.md")


def test_it_reads_html_without_scripts():
    source = b"""<title>Pump manual</title><h1>Start</h1><script>alert(1)</script>
    <p>Open &amp; close</p><table><tr><th>a<th>b</tr><tr><td>1</td><td>2</td></tr></table>"""
    document = parse(data=source, name="a.html")
    assert document.title == "Pump manual"
    assert [(block.kind, block.text) for block in document.blocks] == [
        ("heading", "Start"),
        ("paragraph", "Open & close"),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
    ]


def test_it_reads_pdf_pages_and_numbered_headings():
    pages = [f"3.{n} Cooling loop {n}\nThe pump number {n} runs." for n in range(1, 4)]
    document = parse(data=pdf(pages), name="manual.pdf")
    headings = [block for block in document.blocks if block.kind == "heading"]
    assert [(block.text, block.level, block.page) for block in headings] == [
        ("3.1 Cooling loop 1", 2, 1),
        ("3.2 Cooling loop 2", 2, 2),
        ("3.3 Cooling loop 3", 2, 3),
    ]


def test_it_drops_lines_that_run_through_a_pdf():
    pages = [f"Header of the manual {n}\nText {'abcdef'[n]} alone." for n in range(6)]
    text = " ".join(block.text for block in parse(data=pdf(pages), name="a.pdf").blocks)
    assert "Header" not in text
    assert "Text c alone." in text


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.pdf", b"not a pdf", "is not a PDF"),
        ("a.pdf", b"%PDF-1.4\ngarbage", "PDF"),
        ("a.pdf", pdf(["secret"], password="x"), "is encrypted"),
        ("a.pdf", pdf([""]), "no text found"),
        ("a.md", b"", "no text found"),
        ("a.md", bytes(range(256)) * 40, "binary data"),
        ("a.txt", b"\x7fELF\x02\x01\x01" + b"\x00" * 100, "binary data"),
        ("a.docm", b"x", "unknown format"),
        ("a.txt", b"x" * (MAX_DOCUMENT_BYTES + 1), "over the limit of 25 MiB"),
    ],
)
def test_it_gives_one_clear_error_for_a_bad_file(name, data, message):
    with pytest.raises(ParseError, match=message) as caught:
        parse(data=data, name=name)
    assert str(caught.value).startswith(name)


def test_it_reads_other_encodings():
    assert parse(data="Kühlung".encode("utf-16"), name="a.txt").blocks[0].text == "Kühlung"
    assert parse(data="Kühlung".encode("cp1252"), name="a.txt").blocks[0].text == "Kühlung"


def test_it_knows_its_formats():
    assert can_parse("x/Y.PDF")
    assert not can_parse("x.exe")

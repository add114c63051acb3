"""DOCX: headings, numbering, tables, order; and what Word keeps but does not show."""

import io

import docx
import pytest
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from docx.shared import RGBColor

from rag.parsing import parse
from rag.parsing.blocks import ParseError


@pytest.fixture
def word():
    return docx.Document()


def read(document):
    buffer = io.BytesIO()
    document.save(buffer)
    return parse(data=buffer.getvalue(), name="manual.docx")


def test_it_reads_headings_lists_and_tables_in_order(word):
    word.add_heading("UPS battery replacement", 0)
    word.add_heading("Scope", 1)
    word.add_paragraph("Applies to UPS A.")
    table = word.add_table(2, 3)
    table.cell(0, 0).text = "Name"
    table.cell(0, 1).merge(table.cell(0, 2)).text = "Limit"
    for column, text in enumerate(("Voltage", "1", "2")):
        table.cell(1, column).text = text
    word.add_heading("Procedure", 2)
    for text in ("Open the breaker.", "Replace the string."):
        word.add_paragraph(text, style="List Number")
    word.add_paragraph("Warning: high voltage.")
    document = read(word)
    assert document.title == "UPS battery replacement"
    assert [(b.kind, b.level, b.step, b.text) for b in document.blocks] == [
        ("heading", 1, None, "Scope"),
        ("paragraph", 0, None, "Applies to UPS A."),
        ("table", 0, None, "| Name | Limit | Limit |\n|---|---|---|\n| Voltage | 1 | 2 |"),
        ("heading", 2, None, "Procedure"),
        ("item", 0, 1, "1. Open the breaker."),
        ("item", 0, 2, "2. Replace the string."),
        ("paragraph", 0, None, "Warning: high voltage."),
    ]


def test_it_leaves_out_hidden_text_deletions_headers_and_footers(word):
    word.sections[0].header.paragraphs[0].text = "Header line"
    word.sections[0].footer.paragraphs[0].text = "Footer line"
    paragraph = word.add_paragraph("The pump is ")
    paragraph.add_run("secretly blue, ").font.hidden = True
    paragraph.add_run("invisible ").font.color.rgb = RGBColor(255, 255, 255)
    deleted = f'<w:del {nsdecls("w")} w:id="1"><w:r><w:delText>green</w:delText></w:r></w:del>'
    paragraph._p.append(parse_xml(deleted))
    paragraph.add_run("red.")
    document = read(word)
    assert [block.text for block in document.blocks] == ["The pump is red."]
    assert sorted(flag["code"] for flag in document.flags) == [
        "hidden_text",
        "hidden_text",
        "tracked_changes",
    ]


def test_it_keeps_white_text_on_a_dark_cell(word):
    cell = word.add_table(1, 1).cell(0, 0)
    cell._tc.get_or_add_tcPr().append(parse_xml(f'<w:shd {nsdecls("w")} w:fill="1F3864"/>'))
    cell.paragraphs[0].add_run("Danger").font.color.rgb = RGBColor(255, 255, 255)
    document = read(word)
    assert [block.text for block in document.blocks] == ["Danger"]
    assert document.flags == []


def test_it_takes_author_and_version_but_not_the_count_of_savings(word):
    word.add_paragraph("Text.")
    word.core_properties.author = "Critical Environment Team"
    word.core_properties.version = "4"
    word.core_properties.revision = 37
    assert read(word).meta == {
        "author": "Critical Environment Team", "version": "4", "revision": 4,
    }  # fmt: skip


def test_it_does_not_believe_a_template_s_title(word):
    word.core_properties.title = "Blade v2"
    word.add_paragraph("The rack manager specification.")
    assert read(word).title == "manual"


RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml."


def add_notes(document, kind: str, notes: dict[int, str]) -> None:
    """A part of footnotes or endnotes; values are the XML of a note's paragraphs."""
    inside = "".join(f'<w:{kind} w:id="{key}">{xml}</w:{kind}>' for key, xml in notes.items())
    line = f'<w:{kind} w:type="separator" w:id="-1"><w:p><w:r><w:t>___</w:t></w:r></w:p></w:{kind}>'
    xml = f"<w:{kind}s {nsdecls('w')}>{line}{inside}</w:{kind}s>"
    part = Part(
        PackURI(f"/word/{kind}s.xml"), f"{TYPE}{kind}s+xml", xml.encode(), document.part.package
    )
    document.part.relate_to(part, f"{RELATION}{kind}s")


def note(text: str, extra: str = "") -> str:
    return f"<w:p><w:r><w:footnoteRef/></w:r><w:r>{extra}<w:t> {text}</w:t></w:r></w:p>"


def refer(paragraph, kind: str, key: int) -> None:
    mark = f'<w:r {nsdecls("w")}><w:{kind}Reference w:id="{key}"/></w:r>'
    paragraph._p.append(parse_xml(mark))


def test_it_tells_footnotes_and_endnotes_where_they_are_referred_to(word):
    inner = '<w:footnoteReference w:id="2"/>'
    add_notes(
        word,
        "footnote",
        {
            1: note("Dry thread,") + note("not oiled."),
            2: note("Of the ABB drives only."),
            3: note("never shown", "<w:rPr><w:vanish/></w:rPr>"),
            4: note(f"Says nothing of itself.</w:t>{inner}<w:t>"),
        },
    )
    add_notes(word, "endnote", {1: note("See EN 50600.")})
    heading = word.add_heading("Torque", 1)
    refer(heading, "footnote", 2)
    bolt = word.add_paragraph("Tighten to 25 Nm")
    refer(bolt, "footnote", 1)
    bolt.add_run(" in a cross.")
    refer(bolt, "endnote", 1)
    again = word.add_paragraph("As above")
    for key in (1, 2, 3, 99):
        refer(again, "footnote", key)
    cell = word.add_table(2, 1)
    cell.cell(0, 0).text = "Limit"
    cell.cell(1, 0).text = "9 bar"
    refer(cell.cell(1, 0).paragraphs[0], "footnote", 4)

    document = read(word)

    assert [(b.kind, b.text) for b in document.blocks] == [
        ("paragraph", "Footnote: Of the ABB drives only."),
        (
            "paragraph",
            "Tighten to 25 Nm [footnote: Dry thread, not oiled.] in a cross. "
            "[endnote: See EN 50600.]",
        ),
        ("paragraph", "As above"),
        ("table", "Limit\n9 bar [footnote: Says nothing of itself.]"),
    ]
    assert document.title == "Torque"
    assert "never shown" in str(document.flags)


def test_it_refuses_a_docx_with_broken_footnotes(word):
    word.add_paragraph("A text.")
    part = Part(
        PackURI("/word/footnotes.xml"), f"{TYPE}footnotes+xml", b"<w:foot", word.part.package
    )
    word.part.relate_to(part, f"{RELATION}footnotes")

    with pytest.raises(ParseError, match=r"manual\.docx: broken DOCX"):
        read(word)

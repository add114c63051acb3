"""Files that attack their reader: one clear sentence each, and the worker goes on."""

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from rag.parsing import ParseError, limited
from rag.parsing.limited import parse_limited
from rag.tests.pdf_files import encrypted, line, lines, pdf_file

PLAIN_PDF = pdf_file([line("The pump is red.", 72, 700)])


def docx_file(text: str = "The pump is red.", **parts: bytes) -> bytes:
    """A DOCX of one paragraph with parts replaced or added (`word__x` is word/x)."""
    import docx

    document = docx.Document()
    document.add_paragraph(text)
    buffer = io.BytesIO()
    document.save(buffer)
    with zipfile.ZipFile(buffer) as source:
        items = {name: source.read(name) for name in source.namelist()}
    items |= {name.replace("__", "/").replace("_dot_", "."): raw for name, raw in parts.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, raw in items.items():
            target.writestr(name, raw)
    return out.getvalue()


def body(declaration: str, text: str) -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return (
        f'<?xml version="1.0"?>{declaration}<w:document xmlns:w="{space}"><w:body><w:p><w:r>'
        f"<w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    ).encode()


XXE = body('<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;")
BOMB = body(
    "<!DOCTYPE d [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9))
    + "]>",
    "&j;",
)
DEEP_DOCX = (
    body("", "x")
    .replace(b"<w:body>", b"<w:body>" + b"<w:sdt><w:sdtContent>" * 3000)
    .replace(b"</w:body>", b"</w:sdtContent></w:sdt>" * 3000 + b"</w:body>")
)
ALIASES = (
    "---\na: &a [" + ",".join("x" * 9) + "]\n"
    + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    + "---\ntext"
).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("locked.pdf", lambda: encrypted(PLAIN_PDF, "x"), "is encrypted"),
        ("half.pdf", lambda: PLAIN_PDF[: len(PLAIN_PDF) // 2], "broken PDF"),
        ("noise.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 400, "broken PDF"),
        ("many.pdf", lambda: pdf_file([line("x", 72, 700)] * 1001), "over the limit of 1000"),
        ("text.pdf", lambda: b"hello", "is not a PDF"),
        ("bomb.docx", lambda: docx_file(word__a_dot_xml=b"0" * (300 * 2**20)), "unpacks to 30"),
        ("xxe.docx", lambda: docx_file(word__document_dot_xml=XXE), "declares XML entities"),
        ("laughs.docx", lambda: docx_file(word__document_dot_xml=BOMB), "declares XML entities"),
        ("macro.docx", lambda: docx_file(word__vbaProject_dot_bin=b"x"), "carries macros"),
        ("deep.docx", lambda: docx_file(word__document_dot_xml=DEEP_DOCX), "depth|deeply"),
        (
            "old.docx",
            lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512,
            "is encrypted or in",
        ),
        ("zip.docx", lambda: PLAIN_PDF, "is not a DOCX"),
        ("deep.html", lambda: b"<div>" * 100_000 + b"x", "is nested too deeply"),
        ("doc.html", docx_file, "binary data"),
        ("pdf.txt", lambda: PLAIN_PDF, "binary data"),
        ("nul.txt", lambda: b"a\0b" * 100, "binary data"),
        ("alias.md", lambda: ALIASES, "YAML aliases"),
    ],
)
def test_it_gives_one_sentence_for_a_hostile_file(name, make, message):
    with pytest.raises(ParseError, match=message) as caught:
        parse_limited(make(), name, seconds=60)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_it_survives_a_page_tree_that_is_its_own_child():
    data = pdf_file([line("The pump is red.", 72, 700)], kids="2 0 R 5 0 R")
    assert parse_limited(data, "loop.pdf", seconds=60).blocks[0].text == "The pump is red."


def test_it_reads_what_only_looks_hostile():
    endless = b"<p>The pump <b>is red" + b"<i>" * 200
    assert "pump is red" in parse_limited(endless, "a.html").blocks[0].text
    wide = "Kühlung läuft.\n".encode("utf-16-le") * 50
    assert parse_limited(wide, "a.txt").blocks[0].text.startswith("Kühlung läuft.")
    assert parse_limited("Kühlung".encode("latin-1"), "a.txt").blocks[0].text == "Kühlung"


def test_it_hands_over_the_same_document_as_without_limits():
    from rag.parsing import parse

    source = b"---\neffective: 2026-03-01\n---\n# Title\n\nText.\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    inside, outside = parse(data=source, name="a.md"), parse_limited(source, "a.md")
    assert outside.blocks == inside.blocks
    assert outside.meta == {"effective": "2026-03-01"}
    pages = pdf_file([lines(["One line.", "Another line."])])
    assert parse_limited(pages, "a.pdf").blocks == parse(data=pages, name="a.pdf").blocks


def test_it_ends_a_file_that_takes_too_long():
    slow = pdf_file([lines([f"Line {n} of {p}." for n in range(60)]) for p in range(400)])
    began = time.monotonic()
    with pytest.raises(ParseError, match=r"slow\.pdf: takes more than 0\.6 s to read"):
        parse_limited(slow, "slow.pdf", seconds=0.6)
    assert time.monotonic() - began < 5


def test_it_ends_a_file_that_eats_memory():
    with pytest.raises(ParseError, match="needs more than 120 MiB"):
        parse_limited(b"word " * (3 * 2**20), "large.txt", memory_mib=120)


def test_it_ends_a_file_that_says_too_much(monkeypatch):
    monkeypatch.setattr(limited, "MAX_OUTPUT_BYTES", 1000)
    with pytest.raises(ParseError, match="MiB of text"):
        parse_limited(b"word " * 1000, "long.txt")


def test_it_leaves_no_process_behind():
    with pytest.raises(ParseError):
        parse_limited(b"word " * 2**20, "slow.txt", seconds=0.05)
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"child.py\x00slow.txt" in _read(path)
    ]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "open('/tmp/holdpoint-written', 'w')",
        "import os; os.open('/tmp/holdpoint-written', os.O_CREAT | os.O_WRONLY)",
        "import os; os.remove('/tmp/holdpoint-written')",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
    ],
)
def test_it_lets_a_parser_do_nothing_but_parse(attempt):
    code = f"import sys; from rag.parsing.child import guard; sys.addaudithook(guard)\n{attempt}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "is not allowed while a file is read" in done.stderr


def test_it_gives_the_child_no_secret_and_no_file(monkeypatch, tmp_path):
    """The child sees an empty environment and no descriptor but its three own."""
    seen = tmp_path / "seen"
    probe = tmp_path / "child.py"
    probe.write_text(
        "import json, os, sys\n"
        "sys.stdout.write(json.dumps({'error': json.dumps([sorted(os.environ), "
        "sorted(int(n) for n in os.listdir('/proc/self/fd'))])}))\n"
    )
    monkeypatch.setenv("OPS_SECRET_KEY", "secret")
    monkeypatch.setattr(limited, "_CHILD", probe)
    with seen.open("w"), pytest.raises(ParseError) as caught:
        parse_limited(b"x", "a.txt")
    said = str(caught.value)
    assert "OPS_SECRET_KEY" not in said
    assert "[0, 1, 2, 3]" in said  # 3 is the directory listing itself


def test_it_loads_no_parser_in_the_web_process():
    code = (
        "import rag.parsing, rag.parsing.limited, sys;"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('pypdfium2', 'pdfplumber', 'docx', 'lxml', 'markdown_it')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

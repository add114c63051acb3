"""PDF files for tests, written object by object, so that each hostile detail is ours."""

import io
import zlib


def pdf_file(
    contents: list[str],
    *,
    boxes: str = "[0 0 612 792]",
    outline: list[tuple[str, int]] | None = None,
    kids: str | None = None,
    extra: str = "",
) -> bytes:
    """A PDF with one content stream a page.

    F1 is Helvetica, F2 Helvetica-Bold; `outline` lists (title, page from 1); `kids` replaces the
    page tree's own list; `extra` is put into each page's dictionary.
    """
    count = len(contents)
    first = 5
    pages = kids or " ".join(f"{first + 2 * i} 0 R" for i in range(count))
    marks = outline or []
    base = first + 2 * count
    objects = [
        "<< /Type /Catalog /Pages 2 0 R" + (f" /Outlines {base} 0 R" if marks else "") + " >>",
        f"<< /Type /Pages /Count {count} /Kids [{pages}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>",
    ]
    bodies: list[bytes] = [body.encode() for body in objects]
    for index, content in enumerate(contents):
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox {boxes} /Contents {first + 1 + 2 * index} 0 R "
            f"/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> {extra} >>".encode()
        )
        packed = zlib.compress(content.encode("latin-1"))
        head = f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode()
        bodies.append(head + packed + b"\nendstream")
    if marks:
        last = base + len(marks)
        bodies.append(
            f"<< /Type /Outlines /First {base + 1} 0 R /Last {last} 0 R /Count {len(marks)} >>".encode()
        )
        for index, (title, page) in enumerate(marks):
            links = f"/Prev {base + index} 0 R " if index else ""
            links += f"/Next {base + index + 2} 0 R " if index + 1 < len(marks) else ""
            bodies.append(
                f"<< /Title ({title}) /Parent {base} 0 R {links}"
                f"/Dest [{first + 2 * (page - 1)} 0 R /Fit] >>".encode()
            )
    return _assembled(bodies)


def _assembled(bodies: list[bytes]) -> bytes:
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(bodies, start=1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    start = out.tell()
    out.write(f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets))
    out.write(
        f"trailer << /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode()
    )
    return out.getvalue()


def line(text: str, x: float, y: float, *, size: float = 10, font: str = "F1") -> str:
    """One line of text at a place (from the lower left corner)."""
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /{font} {size} Tf 1 0 0 1 {x} {y} Tm ({escaped}) Tj ET\n"


def lines(texts: list[str], *, x: float = 72, y: float = 700, size: float = 10) -> str:
    """Lines of text below one another."""
    return "".join(line(text, x, y - 1.2 * size * n, size=size) for n, text in enumerate(texts))


def encrypted(data: bytes, password: str) -> bytes:
    """The same PDF with a user password."""
    from pypdf import PdfWriter

    writer = PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt(password, algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()

"""The process that draws one page of a PDF: limits first, the file from stdin, a PNG to stdout.

Started by `rag.viewing.page_images` as `python -I -B render_child.py PAGE SCALE PIXELS
CPU_SECONDS MEMORY_MIB`, under the same limits as the process that parses (`rag.parsing.child`).
Prints the PNG, or `{"error": code, "detail": sentence}`.
"""

import io
import json
import sys
from pathlib import Path


def render(data: bytes, *, page: int, scale: float, pixels: int) -> bytes:
    """One page as PNG; `scale` 1 is 72 pixels per inch, made smaller where that is over `pixels`.

    Raises ValueError with (code, sentence).
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise ValueError("unreadable", f"the PDF cannot be opened ({error})") from error
    count = len(document)
    if not 1 <= page <= count:
        raise ValueError("no_such_page", f"it has {count} pages, not {page}")
    try:
        drawn = document[page - 1]
        width, height = drawn.get_size()
        if width <= 0 or height <= 0:
            raise ValueError("unreadable", f"page {page} has no size")
        scale = min(scale, (pixels / (width * height)) ** 0.5)
        bitmap = drawn.render(scale=scale, may_draw_forms=False)
    except pypdfium2.PdfiumError as error:
        raise ValueError("unreadable", f"page {page} cannot be drawn ({error})") from error
    picture = io.BytesIO()
    bitmap.to_pil().save(picture, "PNG", compress_level=4)
    return picture.getvalue()


def main() -> int:
    """Draw the page that the arguments name."""
    page, scale, pixels = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from rag.parsing.child import guard, limit

    limit(cpu_seconds=int(sys.argv[4]), memory_mib=int(sys.argv[5]))
    sys.addaudithook(guard)
    try:
        out = render(sys.stdin.buffer.read(), page=page, scale=scale, pixels=pixels)
    except ValueError as error:
        code, detail = error.args if len(error.args) == 2 else ("unreadable", str(error))
        out = json.dumps({"error": code, "detail": detail}).encode()
    except MemoryError:
        out = json.dumps(
            {"error": "unreadable", "detail": "the page needs too much memory"}
        ).encode()
    sys.stdout.buffer.write(out)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

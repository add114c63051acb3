"""Static files under ASGI: WhiteNoise's answers are file iterators that only WSGI can send.

Django would read such a file to its end in one go and warn about it, for every script of every
page. The files of this product are small, so each is answered whole.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

WHOLE_BYTES: Final = 8 * 1024 * 1024
"""Larger files are left to WhiteNoise; the largest here is the API page's script, 1.5 MB."""


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise with answers that need no iterator. Compression, ETags and 304s stay its own."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        """Answer with the file, its range, or only its headers."""
        found = static_file.get_response(request.method, request.META)
        length = int(dict(found.headers).get("Content-Length", 0))
        if length > WHOLE_BYTES:
            large: HttpResponseBase = WhiteNoiseMiddleware.serve(static_file, request)
            return large
        content = b""
        if found.file is not None:
            with found.file as file:
                content = file.read()
        response = HttpResponse(content, status=int(found.status))
        del response["content-type"]
        for key, value in found.headers:
            response[key] = value
        return response

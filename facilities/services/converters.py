"""Saving a converter: checked first, so that the request path never meets a broken one."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from facilities.converters.document import read_document
from facilities.converters.maps import rules_of
from facilities.models import Converter, Source


@transaction.atomic
def converter_save(
    *, source: Source, document: str, enabled: bool = True, user: Any = None
) -> Converter:
    """Check and save the source's document. Raises ``DocumentError`` that lists every problem.

    In force with the next request: saving changes the data list's version.
    """
    rules_of(read_document(document))
    converter, _ = Converter.objects.update_or_create(
        source=source,
        defaults={"document": document, "enabled": enabled, "updated_by": user},
    )
    return converter

"""`{% icon "bell" %}`: an SVG of the package lucide-static, inlined so that it takes text colour."""

import functools
import re

from django import template
from django.conf import settings
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@functools.cache
def _svg(name: str) -> SafeString:
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise template.TemplateSyntaxError(f"'{name}' is no icon name")
    path = settings.NODE_MODULES / "lucide-static" / "icons" / f"{name}.svg"
    try:
        text = path.read_text()
    except OSError:
        return SafeString("")
    svg = text[text.index("<svg") :]
    svg = svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    return mark_safe(svg.replace('class="lucide', 'class="icon lucide', 1))  # noqa: S308


@register.simple_tag
def icon(name: str) -> SafeString:
    """The icon's SVG, or nothing where front-end packages are not installed."""
    return _svg(name)

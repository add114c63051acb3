"""System checks of the configuration; ids `ops.E…` stop a start, `ops.W…` warn."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from ops_platform.config import Config


@register(Tags.security)
def configuration(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Each contradiction in the OPS_* variables, with what to do about it."""
    return check_config(settings.CONFIG)


def check_config(config: Config) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if config.secret_key_is_ephemeral and not config.embedded_database:
        found.append(
            Error(
                "OPS_SECRET_KEY is not set although OPS_DATABASE_URL points to a database.",
                hint="Set OPS_SECRET_KEY or OPS_SECRET_KEY_FILE: the same value on every web, "
                "worker and beat, or sessions end at each restart.",
                id="ops.E001",
            )
        )
    if config.debug and not config.embedded_database:
        found.append(
            Warning(
                "OPS_DEBUG is on with an external database: tracebacks reach the browser.",
                hint="Unset OPS_DEBUG in production.",
                id="ops.W001",
            )
        )
    for url in {*config.llm_urls, *config.embed_urls}:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            found.append(
                Error(
                    f"OPS_LLM_URL or OPS_EMBED_URL holds '{url}', which is no http(s) URL.",
                    hint="Give base URLs such as http://llm-1:8100, comma separated.",
                    id="ops.E002",
                )
            )
    if config.log_format not in {"json", "text"}:
        found.append(
            Error(
                f"OPS_LOG_FORMAT is '{config.log_format}'.",
                hint="Use json or text.",
                id="ops.E003",
            )
        )
    if "*" in config.allowed_hosts and not config.debug:
        found.append(
            Warning(
                "OPS_ALLOWED_HOSTS is '*': any Host header is believed.",
                hint="List the host names that people use.",
                id="ops.W002",
            )
        )
    return found

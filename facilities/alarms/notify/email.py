"""One e-mail over the SMTP server of ``OPS_SMTP_URL``."""

from __future__ import annotations

import re
import smtplib
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.validators import validate_email

from .webhook import Answer

TIMEOUT_S: Final = 10


def addresses(text: str) -> list[str]:
    """Return the addresses of a list (lines, commas). Raises ``ValidationError`` naming a bad one."""
    found = [part for part in re.split(r"[\s,;]+", text) if part]
    for part in found:
        try:
            validate_email(part)
        except ValidationError:
            raise ValidationError({"recipients": f"{part!r} is not an e-mail address"}) from None
    return found


def send(*, to: str, key: str, body: dict[str, Any]) -> Answer:
    """Send one message. Never raises for what the server says.

    The message id is made of the idempotency key, so a mail system can drop a repetition.
    """
    if not settings.SMTP.host:
        return Answer(False, False, "no SMTP server is set; set OPS_SMTP_URL")
    message = EmailMessage(
        subject=body["subject"],
        body=body["text"],
        from_email=settings.MAIL_FROM,
        to=[to],
        headers={"Message-ID": f"<{key}@holdpoint>", "Auto-Submitted": "auto-generated"},
        connection=get_connection(
            "django.core.mail.backends.smtp.EmailBackend",
            host=settings.SMTP.host,
            port=settings.SMTP.port,
            username=settings.SMTP.username,
            password=settings.SMTP.password,
            use_tls=settings.SMTP.starttls,
            use_ssl=settings.SMTP.tls,
            timeout=TIMEOUT_S,
        ),
    )
    try:
        message.send()
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return Answer(False, 400 <= error.smtp_code < 500, f"{error.smtp_code} {text}")
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        return Answer(False, 400 <= code < 500, f"{code} {said.decode(errors='replace')}")
    except (OSError, smtplib.SMTPException) as error:
        return Answer(False, True, f"{type(error).__name__}: {error}")
    return Answer(True, False, f"taken by {settings.SMTP.host}")

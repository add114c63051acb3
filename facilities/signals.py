"""Signals that other apps may connect to."""

from django.dispatch import Signal

alarm_raised = Signal()
"""Sent after the commit that raised an alarm. Keyword: ``alarm_id`` (int)."""

source_token_changed = Signal()
"""Sent inside the transaction that issues, rotates or revokes a source's token. Keywords: ``name`` (str), ``what``
(issued, rotated, revoked), ``facts`` (dict without the token), ``actor`` (user name; "" for the command line)."""

alarm_acknowledged = Signal()
"""Sent after the commit in which a person acknowledged an alarm. Keywords: ``alarm_id`` (int), ``tag`` (str),
``actor`` (user name), ``note`` (str)."""

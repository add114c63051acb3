"""Signals that other apps may connect to."""

from django.dispatch import Signal

alarm_raised = Signal()
"""Sent after the commit that raised an alarm. Keyword: ``alarm_id`` (int)."""

alarm_acknowledged = Signal()
"""Sent after the commit in which a person acknowledged an alarm. Keywords: ``alarm_id`` (int), ``tag`` (str),
``actor`` (user name), ``note`` (str)."""

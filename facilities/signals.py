"""Signals that other apps may connect to."""

from django.dispatch import Signal

alarm_raised = Signal()
"""Sent after the commit that raised an alarm. Keyword: ``alarm_id`` (int)."""

"""Telling people: of what (events), whom (rules), by which way (deliver), and the log of it."""

from approvals.notify.announce import notify

__all__ = ["notify"]

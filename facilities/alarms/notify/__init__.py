"""Telling people: who (escalation), what (messages), how (webhook, e-mail), and the log of it."""

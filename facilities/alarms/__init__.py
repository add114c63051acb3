"""Alarms: pure rules, the engine that applies them, and what people do with alarms."""

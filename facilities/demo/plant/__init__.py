"""Simulated plant of the demo facility: physics, sensors, faults, its own HTTP API. No Django."""

"""Runs the agent on the demo plant, in process and without a clock, and measures it."""

"""The live twin: it follows the plant through snapshots and writes back what it finds."""

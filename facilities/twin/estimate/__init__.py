"""Estimation: what sensors hide, how the twin stays in step, what wears out. No Django."""

"""Model files: which there are, where they come from, and which one is loaded."""

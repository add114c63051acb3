"""Outside agents through the same door: they read, and propose; they never decide or write."""

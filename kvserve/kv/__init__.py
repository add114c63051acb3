"""The KV cache: blocks and their owners, prefixes, what llama.cpp's cells hold, swap, disk."""

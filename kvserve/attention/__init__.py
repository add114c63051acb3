"""Attention over each sequence's own cells, under llama.cpp instead of its own kernel.

The C files are one shared library, `_paged.so`, built by `ops_platform/install/attention.py`.
`extension.py` loads and proves it; `layout.py` checks that the loaded ggml is the one it was built
for. Life of a step: docs/adr/0007-paged-attention.md.
"""

"""Our own kernels under llama.cpp: paged attention, and products of Q8_0 weights with a batch.

The C files are one shared library, `_kernels.so`, built by `ops_platform/install/kernels.py`: `hook.c`
is llama.cpp's callback, `*_take.c` read ggml's nodes, the rest knows no ggml. `extension.py` loads and
proves it; `layout.py` checks that the loaded ggml is the one it was built for; `kernels.py` decides
what a context runs. Life of a step: docs/adr/0007-paged-attention.md and 0009-packed-products.md.
"""

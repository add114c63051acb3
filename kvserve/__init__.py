"""LLM serving over llama.cpp: blocks, continuous batching, an OpenAI-style server, a client."""

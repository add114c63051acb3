"""Parts of the retrieval benchmark: corpus, filling, measuring."""

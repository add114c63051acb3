"""Parts of benchmarks/ingest.py: the product's processes, the load, the clients."""

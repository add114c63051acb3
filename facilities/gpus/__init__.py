"""GPUs and racks as pages and API show them: what limits each, what it costs, what would help."""

"""REST endpoints, one module each."""

"""The services that `up` runs itself when no `OPS_*_URL` points elsewhere."""

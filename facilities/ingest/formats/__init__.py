"""Wire formats. Each turns a body into items for ``facilities.ingest.validate``."""

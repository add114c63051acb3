"""Set-up steps that `make` runs, each a script on the standard library alone."""

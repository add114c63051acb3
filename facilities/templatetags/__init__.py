"""Template filters of the facility."""

"""REST of the gate: `/api/v1/proposals/`, `/actions/`, `/audit/`."""

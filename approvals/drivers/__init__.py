"""Ways to write to a plant. Only `approvals.execution` may import from here; CI checks it."""

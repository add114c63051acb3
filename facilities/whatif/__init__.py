"""What would happen if: actions and faults on the live twin, compared with doing nothing."""

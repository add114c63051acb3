"""The system requirements board and the capacity planner: computed and measured, never typed in."""

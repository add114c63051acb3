"""What can be seen from outside: metrics, energy, the map of blocks."""

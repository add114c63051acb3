"""The demo facility and its simulated plant."""

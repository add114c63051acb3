"""Tests of the demo facility, plant and procedures."""

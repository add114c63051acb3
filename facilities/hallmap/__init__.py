"""The hall map: the plan of a hall, frames of its values over time, and what happened in it."""

"""Who must sign what, when nothing may be changed, and how much at once."""

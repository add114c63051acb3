"""What runs: the engine's thread, scheduling, sequences, the model's steps and sampling."""

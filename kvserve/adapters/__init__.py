"""LoRA adapters: their files, those loaded, and whose turn it is."""

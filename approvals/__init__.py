"""The gate: what may be proposed, who must sign, how it is carried out, and the proof of it."""

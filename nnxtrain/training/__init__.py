"""A run: its directory, checkpoints and metrics, and the loop that fills them."""

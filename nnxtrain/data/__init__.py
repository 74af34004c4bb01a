"""Data sets, and the batches drawn from them. Importing this loads NumPy and nothing heavier."""

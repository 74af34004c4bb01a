"""One file of cases for each family of layers: a tuple ``CASES``."""

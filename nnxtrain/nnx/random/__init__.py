"""Random streams and initialisers."""

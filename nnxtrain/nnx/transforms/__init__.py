"""Transforms of functions that take modules: all rest on the lift core in ``lift``."""

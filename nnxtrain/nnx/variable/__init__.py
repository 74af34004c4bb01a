"""Variables: the boxes of a module's arrays, their kinds, metadata and shardings."""

"""Training on many devices: the mesh, which array lies where on it, and starting several processes."""

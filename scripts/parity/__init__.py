"""Values of layers as Flax and PyTorch compute them, kept in small files that the tests compare ours with."""

"""Builders for tensorflow-datasets that prepare their set without TensorFlow."""

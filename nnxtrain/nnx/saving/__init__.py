"""Saving and loading: bytes, checkpoint directories, safetensors files. All rest on :mod:`~nnxtrain.nnx.saving.leaves`."""

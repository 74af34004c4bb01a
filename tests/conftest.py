"""The whole suite runs with four simulated devices and with cached graph structures verified at each use."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["NNXTRAIN_CHECK_STRUCTURE"] = "1"

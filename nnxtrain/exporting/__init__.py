"""A run's model as a folder that other programs load: StableHLO, safetensors and a description."""

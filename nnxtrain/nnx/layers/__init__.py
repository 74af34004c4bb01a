"""The layers. Names, parameters, defaults and layouts are those of Flax NNX."""

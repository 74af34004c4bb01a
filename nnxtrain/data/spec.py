"""What a model and a task need to know about a data set before they see any of it."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.data.tokenizers import Tokenizer


@dataclass(frozen=True)
class Spec:
    """Shapes, classes and statistics of a data set. What does not apply to it is None or empty.

    Attributes:
      input_shape: Shape of one example, without the batch axis: ``(height, width, channels)`` of an image, ``(features,)``
        of a row, ``(length,)`` of a sequence of tokens.
      input_dtype: Name of the examples' dtype, as stored: ``"uint8"`` for images, ``"float32"`` for numbers, ``"int32"``
        for tokens.
      num_classes: Number of classes; labels are ``0 .. num_classes - 1``.
      class_names: Name of each class, in the order of the labels.
      mean: Mean of each channel (the last axis) over the train split; of images on the 0..1 scale.
      std: Standard deviation likewise (the population's, divided by N); 1.0 for a channel that is constant, so that one
        can divide by it.
      vocab_size: Number of different tokens; tokens are ``0 .. vocab_size - 1``.
      target_names: Name of each number that is to be predicted.
      tokenizer: Makes tokens of text and text of tokens, where the tokens are those of text.
      class_counts: Number of train examples of each class, in the order of the labels, where it is known.
    """

    input_shape: tuple[int, ...]
    input_dtype: str
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    vocab_size: int | None = None
    target_names: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None
    class_counts: tuple[int, ...] = ()

    @property
    def unit(self) -> str:
        """What an example is, in the plural."""
        if self.vocab_size is not None:
            return "sequences"
        return "images" if len(self.input_shape) == 3 else "examples"

    def runtime_values(self) -> dict[str, object]:
        """What a model's constructor is given where it has a parameter of the name and the configuration is silent.

        >>> Spec((28, 28, 1), "uint8", num_classes=10).runtime_values()
        {'input_shape': (28, 28, 1), 'in_features': 1, 'num_classes': 10}
        """
        known = {
            "input_shape": self.input_shape,
            "in_features": self.input_shape[-1] if self.vocab_size is None else None,
            "num_classes": self.num_classes,
            "vocab_size": self.vocab_size,
            "num_targets": len(self.target_names) or None,
        }
        return {name: value for name, value in known.items() if value is not None}

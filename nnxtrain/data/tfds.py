"""Image classification sets that tensorflow-datasets has prepared elsewhere, by name."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from nnxtrain.data.prepared_images import PreparedImages, check_folder
from nnxtrain.errors import InputError, nearest


@dataclass(frozen=True)
class TFDS(PreparedImages):
    """Any image classification set of tensorflow-datasets that is prepared in a random-access format.

    Preparing most sets needs TensorFlow, which nnxtrain does not: it reads what is there. The features must have an
    ``image`` (bytes) and a ``label``; others are left out.

    Attributes:
      name: As in ``tfds.builder``: ``beans``, ``imagenette/320px-v2``, ``my_set:1.2.0``.
      classes, splits, validation_fraction, split_seed, data_dir: See ``PreparedImages``.
      image_size: ``[height, width]`` to resize to; None keeps the size, which then must be one for all images.
      tfds_dir: Where the set is; None means tensorflow-datasets' own, ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Raises:
      InputError: An argument cannot be used.
    """

    _: KW_ONLY
    tfds_dir: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_folder(self.tfds_dir, "data.tfds_dir")

    def _builder(self) -> Any:
        import tensorflow_datasets as tfds

        try:
            builder = tfds.builder(self.name, data_dir=self.tfds_dir)
        except tfds.core.registered.DatasetNotFoundError as error:
            close = nearest(self.name, tfds.list_builders(with_community_datasets=False))
            raise InputError(
                f"data.name: tensorflow-datasets knows no {self.name!r}, and {self._place} has none prepared{close}"
            ) from error
        except Exception as error:  # of its parser, of assertions, of a set's own code
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"data.name={self.name}: {reason}") from error
        if not builder.is_prepared():
            raise InputError(f"{self.name} is not prepared in {builder.data_dir}; {self._remedy}")
        formats = builder.info.available_file_formats()
        if not formats & tfds.core.FileFormat.with_random_access():
            raise InputError(
                f"{builder.data_dir} is in the format {', '.join(f.value for f in formats)}, which only TensorFlow reads; "
                f"in another folder, {self._remedy}"
            )
        self._check_features(builder.info.features)
        return builder

    @property
    def _place(self) -> str:
        return self.tfds_dir or "tensorflow-datasets' folder (data.tfds_dir=DIR names another)"

    @property
    def _remedy(self) -> str:
        folder = f" --data_dir={self.tfds_dir}" if self.tfds_dir else ""
        return f"where TensorFlow is installed, run: tfds build {self.name} --file_format=array_record{folder}"

    def _check_features(self, features: Any) -> None:
        from tensorflow_datasets.core.features import ClassLabel, Image

        known = dict(getattr(features, "items", dict)())  # of a set without names there are none
        for name, kind in (("image", Image), ("label", ClassLabel)):
            if not isinstance(known.get(name), kind):
                there = ", ".join(f"{n} ({type(f).__name__})" for n, f in known.items())
                raise InputError(
                    f"{self.name} is no set for image classification: it has no feature {name} ({kind.__name__}); "
                    f"it has {there or type(features).__name__}"
                )
        image = known["image"]
        if image.np_dtype != np.uint8 or image.shape[-1] is None:
            raise InputError(
                f"{self.name} has images of {image.np_dtype}{list(image.shape)}; bytes with a fixed number of channels are "
                "needed"
            )
        if None in image.shape and self.image_size is None:
            raise InputError(
                f"{self.name} has images of different sizes; give data.image_size=[HEIGHT,WIDTH]"
            )

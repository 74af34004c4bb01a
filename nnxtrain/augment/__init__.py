"""Augmentation inside the compiled train step: pure functions ``augment(key, batch) -> batch``."""

from nnxtrain.augment.chain import Chain as Chain
from nnxtrain.augment.chain import Identity as Identity
from nnxtrain.augment.crop import RandomCrop as RandomCrop
from nnxtrain.augment.flip import HorizontalFlip as HorizontalFlip
from nnxtrain.augment.flip import VerticalFlip as VerticalFlip
from nnxtrain.augment.keys import batch_key as batch_key
from nnxtrain.augment.keys import row_keys as row_keys
from nnxtrain.augment.transform import ImageTransform as ImageTransform

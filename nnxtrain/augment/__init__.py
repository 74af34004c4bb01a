"""Augmentation inside the compiled train step: pure functions ``augment(key, batch) -> batch``."""

from nnxtrain.augment.affine import RandomAffine as RandomAffine
from nnxtrain.augment.chain import Chain as Chain
from nnxtrain.augment.chain import Identity as Identity
from nnxtrain.augment.chain import OneOf as OneOf
from nnxtrain.augment.color import ColorJitter as ColorJitter
from nnxtrain.augment.color import RandomGrayscale as RandomGrayscale
from nnxtrain.augment.crop import RandomCrop as RandomCrop
from nnxtrain.augment.erasing import Cutout as Cutout
from nnxtrain.augment.erasing import RandomErasing as RandomErasing
from nnxtrain.augment.flip import HorizontalFlip as HorizontalFlip
from nnxtrain.augment.flip import VerticalFlip as VerticalFlip
from nnxtrain.augment.keys import batch_key as batch_key
from nnxtrain.augment.keys import row_keys as row_keys
from nnxtrain.augment.mixing import CutMix as CutMix
from nnxtrain.augment.mixing import MixUp as MixUp
from nnxtrain.augment.noise import GaussianNoise as GaussianNoise
from nnxtrain.augment.resized_crop import RandomResizedCrop as RandomResizedCrop
from nnxtrain.augment.transform import ImageTransform as ImageTransform
from nnxtrain.augment.transform import RandomTransform as RandomTransform
from nnxtrain.augment.transform import Transform as Transform
from nnxtrain.augment.transform import row_numbers as row_numbers

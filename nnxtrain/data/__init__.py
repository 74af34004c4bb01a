"""Data sets, and the batches drawn from them. Importing this loads NumPy and nothing heavier."""

from nnxtrain.data.array_files import ArrayFiles as ArrayFiles
from nnxtrain.data.line import Line as Line
from nnxtrain.data.loader import TrainBatches as TrainBatches
from nnxtrain.data.loader import eval_batches as eval_batches
from nnxtrain.data.loader import train_batches as train_batches
from nnxtrain.data.registry import Row as Row
from nnxtrain.data.registry import known_sets as known_sets
from nnxtrain.data.sampler import batch_ids as batch_ids
from nnxtrain.data.sampler import steps_per_epoch as steps_per_epoch
from nnxtrain.data.source import ArraySource as ArraySource
from nnxtrain.data.source import Batch as Batch
from nnxtrain.data.source import Source as Source
from nnxtrain.data.source import Splits as Splits
from nnxtrain.data.source import Subset as Subset
from nnxtrain.data.spec import Spec as Spec
from nnxtrain.data.table import Table as Table
from nnxtrain.data.tfds_images import TFDSImages as TFDSImages

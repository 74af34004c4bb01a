"""Data sets, and the batches drawn from them. Importing this loads NumPy and nothing heavier."""

from nnxtrain.data.array_files import ArrayFiles as ArrayFiles
from nnxtrain.data.image_folder import ImageFolder as ImageFolder
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
from nnxtrain.data.synthetic import Synthetic as Synthetic
from nnxtrain.data.table import Table as Table
from nnxtrain.data.text import Text as Text
from nnxtrain.data.tfds import TFDS as TFDS
from nnxtrain.data.tfds_images import TFDSImages as TFDSImages
from nnxtrain.data.token_files import Tokens as Tokens
from nnxtrain.data.token_windows import TokenWindows as TokenWindows
from nnxtrain.data.tokenizers import ByteTokenizer as ByteTokenizer
from nnxtrain.data.tokenizers import CharTokenizer as CharTokenizer
from nnxtrain.data.tokenizers import Tokenizer as Tokenizer

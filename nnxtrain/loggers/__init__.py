"""Where a run's metrics go besides ``metrics.jsonl``: a CSV file, TensorBoard, Weights & Biases."""

from nnxtrain.loggers.csv_file import CsvFile as CsvFile
from nnxtrain.loggers.logger import Line as Line
from nnxtrain.loggers.logger import Logger as Logger
from nnxtrain.loggers.tensorboard import TensorBoard as TensorBoard
from nnxtrain.loggers.wandb import WandB as WandB

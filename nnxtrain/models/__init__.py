"""The shipped models: plain nnx Modules, one family a file."""

from nnxtrain.models.layers import Layers as Layers
from nnxtrain.models.layers import Residual as Residual
from nnxtrain.models.layers import flatten as flatten
from nnxtrain.models.layers import global_avg_pool as global_avg_pool
from nnxtrain.models.layers import last_step as last_step
from nnxtrain.models.layers import reshape as reshape
from nnxtrain.models.lenet import LeNet as LeNet
from nnxtrain.models.linear_regression import LinearRegression as LinearRegression
from nnxtrain.models.mlp import MLP as MLP
from nnxtrain.models.resnet import ResNet as ResNet
from nnxtrain.models.rnn import RNNClassifier as RNNClassifier
from nnxtrain.models.transformer import TransformerLM as TransformerLM
from nnxtrain.models.vit import ViT as ViT

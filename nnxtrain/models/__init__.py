"""The shipped models: plain nnx Modules, one family a file."""

from nnxtrain.models.lenet import LeNet as LeNet
from nnxtrain.models.linear_regression import LinearRegression as LinearRegression
from nnxtrain.models.mlp import MLP as MLP

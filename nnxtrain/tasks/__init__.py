"""Tasks say what a batch means: its loss, its metrics, its predictions."""

from nnxtrain.tasks.classification import Classification as Classification
from nnxtrain.tasks.regression import Regression as Regression

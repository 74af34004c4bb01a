"""Tasks say what a batch means: its loss, its metrics, its predictions."""

from nnxtrain.tasks.classification import Classification as Classification
from nnxtrain.tasks.language_model import LanguageModel as LanguageModel
from nnxtrain.tasks.regression import Regression as Regression
from nnxtrain.tasks.sequence_classification import SequenceClassification as SequenceClassification

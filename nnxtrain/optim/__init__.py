"""From the optim section of a config to one optax transformation."""

from nnxtrain.optim.build import Optimization as Optimization
from nnxtrain.optim.build import build_optimizer as build_optimizer
from nnxtrain.optim.build import build_schedule as build_schedule
from nnxtrain.optim.schedules import cosine as cosine
from nnxtrain.optim.schedules import linear as linear

"""From the optim section of a config to one optax transformation."""

from nnxtrain.optim.build import Optimization as Optimization
from nnxtrain.optim.build import build_optimizer as build_optimizer
from nnxtrain.optim.build import build_rates as build_rates
from nnxtrain.optim.schedules import constant as constant
from nnxtrain.optim.schedules import cosine as cosine
from nnxtrain.optim.schedules import cosine_restarts as cosine_restarts
from nnxtrain.optim.schedules import exponential as exponential
from nnxtrain.optim.schedules import linear as linear
from nnxtrain.optim.schedules import one_cycle as one_cycle
from nnxtrain.optim.schedules import polynomial as polynomial
from nnxtrain.optim.schedules import rsqrt as rsqrt
from nnxtrain.optim.schedules import step as step
from nnxtrain.optim.schedules import warmup_stable_decay as warmup_stable_decay
from nnxtrain.optim.sgd import sgd as sgd

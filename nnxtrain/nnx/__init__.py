"""The module library: the API of Flax NNX, without flax, at the speed of plain JAX.

>>> from nnxtrain import nnx
"""

from jax.nn import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    initializers,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    logsumexp,
    one_hot,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softmax,
    softplus,
    standardize,
    swish,
    tanh,
)

from nnxtrain.nnx import metrics
from nnxtrain.nnx.containers import Dict, List, Sequential
from nnxtrain.nnx.errors import FrozenError, StructureError, TraceError
from nnxtrain.nnx.filters import All, Everything, Not, Nothing, OfType, PathContains, WithTag
from nnxtrain.nnx.filters import AnyOf as Any
from nnxtrain.nnx.functional import (
    as_abstract,
    clone,
    find_duplicates,
    graphdef,
    iter_children,
    iter_modules,
    merge,
    pop,
    recursive_map,
    split,
    state,
    update,
    variables,
)
from nnxtrain.nnx.graph import iter_graph
from nnxtrain.nnx.graphdef import GraphDef
from nnxtrain.nnx.guard import frozen
from nnxtrain.nnx.layers.conv import Conv
from nnxtrain.nnx.layers.linear import Linear
from nnxtrain.nnx.layers.norm import BatchNorm
from nnxtrain.nnx.layers.pooling import avg_pool, max_pool, min_pool, pool
from nnxtrain.nnx.layers.stochastic import Dropout
from nnxtrain.nnx.metadata import VariableMetadata, with_metadata
from nnxtrain.nnx.metrics import Average, Metric, MultiMetric
from nnxtrain.nnx.module import Module, Object
from nnxtrain.nnx.names import (
    register_variable_name,
    variable_name_from_type,
    variable_type_from_name,
)
from nnxtrain.nnx.optimizer import ModelAndOptimizer, Optimizer
from nnxtrain.nnx.rngs import Rngs, RngStream
from nnxtrain.nnx.state import (
    State,
    filter_state,
    from_flat_state,
    map_state,
    merge_state,
    replace_by_pure_dict,
    restore_int_paths,
    split_state,
    to_flat_state,
    to_pure_dict,
)
from nnxtrain.nnx.transforms.abstract import eval_shape
from nnxtrain.nnx.transforms.autodiff import DiffState, grad, value_and_grad
from nnxtrain.nnx.transforms.jit import jit
from nnxtrain.nnx.variables import (
    BatchStat,
    Cache,
    Intermediate,
    OptArray,
    OptState,
    OptVariable,
    Param,
    Perturbation,
    RngCount,
    RngKey,
    RngState,
    Variable,
)

__all__ = [
    "All", "Any", "Average", "BatchNorm", "BatchStat", "Cache", "Conv", "Dict", "DiffState", "Dropout", "Everything",
    "FrozenError", "GraphDef", "Intermediate", "Linear", "List", "Metric", "ModelAndOptimizer", "Module",
    "MultiMetric", "Not", "Nothing", "Object", "OfType", "OptArray", "OptState", "OptVariable", "Optimizer", "Param",
    "PathContains", "Perturbation", "RngCount", "RngKey", "RngState", "RngStream", "Rngs", "Sequential", "State",
    "StructureError", "TraceError", "Variable", "VariableMetadata", "WithTag", "as_abstract", "avg_pool", "celu",
    "clone", "elu", "eval_shape", "filter_state", "find_duplicates", "from_flat_state", "frozen", "gelu", "glu",
    "grad", "graphdef", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity", "initializers",
    "iter_children", "iter_graph", "iter_modules", "jit", "leaky_relu", "log_sigmoid", "log_softmax", "logsumexp",
    "map_state", "max_pool", "merge", "merge_state", "metrics", "min_pool", "one_hot", "pool", "pop", "recursive_map",
    "register_variable_name", "relu", "relu6", "replace_by_pure_dict", "restore_int_paths", "selu", "sigmoid", "silu",
    "soft_sign", "softmax", "softplus", "split", "split_state", "standardize", "state", "swish", "tanh",
    "to_flat_state", "to_pure_dict", "update", "value_and_grad", "variable_name_from_type", "variable_type_from_name",
    "variables", "with_metadata",
]  # fmt: skip

"""The module library: the API of Flax NNX, without flax, at the speed of plain JAX.

>>> from nnxtrain import nnx
"""

from jax.nn import (
    celu as celu,
    elu as elu,
    gelu as gelu,
    glu as glu,
    hard_sigmoid as hard_sigmoid,
    hard_silu as hard_silu,
    hard_swish as hard_swish,
    hard_tanh as hard_tanh,
    identity as identity,
    initializers as initializers,
    leaky_relu as leaky_relu,
    log_sigmoid as log_sigmoid,
    log_softmax as log_softmax,
    logsumexp as logsumexp,
    one_hot as one_hot,
    relu as relu,
    relu6 as relu6,
    selu as selu,
    sigmoid as sigmoid,
    silu as silu,
    soft_sign as soft_sign,
    softmax as softmax,
    softplus as softplus,
    standardize as standardize,
    swish as swish,
    tanh as tanh,
)

from nnxtrain.nnx import metrics as metrics
from nnxtrain.nnx.containers import Dict as Dict, List as List, Sequential as Sequential
from nnxtrain.nnx.errors import FrozenError as FrozenError, StructureError as StructureError, TraceError as TraceError
from nnxtrain.nnx.filters import (
    All as All,
    Any_ as Any,
    Everything as Everything,
    Not as Not,
    Nothing as Nothing,
    OfType as OfType,
    PathContains as PathContains,
    WithTag as WithTag,
)
from nnxtrain.nnx.functional import (
    as_abstract as as_abstract,
    clone as clone,
    find_duplicates as find_duplicates,
    graphdef as graphdef,
    iter_children as iter_children,
    iter_modules as iter_modules,
    merge as merge,
    pop as pop,
    recursive_map as recursive_map,
    split as split,
    state as state,
    update as update,
    variables as variables,
)
from nnxtrain.nnx.graph import GraphDef as GraphDef, iter_graph as iter_graph
from nnxtrain.nnx.guard import frozen as frozen
from nnxtrain.nnx.layers.conv import Conv as Conv
from nnxtrain.nnx.layers.linear import Linear as Linear
from nnxtrain.nnx.layers.norm import BatchNorm as BatchNorm
from nnxtrain.nnx.layers.pooling import avg_pool as avg_pool, max_pool as max_pool, min_pool as min_pool, pool as pool
from nnxtrain.nnx.layers.stochastic import Dropout as Dropout
from nnxtrain.nnx.metrics import Average as Average, Metric as Metric, MultiMetric as MultiMetric
from nnxtrain.nnx.module import Module as Module, Object as Object
from nnxtrain.nnx.optimizer import ModelAndOptimizer as ModelAndOptimizer, Optimizer as Optimizer
from nnxtrain.nnx.rngs import Rngs as Rngs, RngStream as RngStream
from nnxtrain.nnx.state import (
    State as State,
    filter_state as filter_state,
    from_flat_state as from_flat_state,
    map_state as map_state,
    merge_state as merge_state,
    replace_by_pure_dict as replace_by_pure_dict,
    restore_int_paths as restore_int_paths,
    split_state as split_state,
    to_flat_state as to_flat_state,
    to_pure_dict as to_pure_dict,
)
from nnxtrain.nnx.transforms.abstract import eval_shape as eval_shape
from nnxtrain.nnx.transforms.autodiff import DiffState as DiffState, grad as grad, value_and_grad as value_and_grad
from nnxtrain.nnx.transforms.jit import jit as jit
from nnxtrain.nnx.variables import (
    BatchStat as BatchStat,
    Cache as Cache,
    Intermediate as Intermediate,
    OptArray as OptArray,
    OptState as OptState,
    OptVariable as OptVariable,
    Param as Param,
    Perturbation as Perturbation,
    RngCount as RngCount,
    RngKey as RngKey,
    RngState as RngState,
    Variable as Variable,
    VariableMetadata as VariableMetadata,
    register_variable_name as register_variable_name,
    variable_name_from_type as variable_name_from_type,
    variable_type_from_name as variable_type_from_name,
    with_metadata as with_metadata,
)

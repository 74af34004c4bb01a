"""The module library: the API of Flax NNX, without flax, at the speed of plain JAX.

>>> from nnxtrain import nnx
"""

from jax.nn import (
    celu as celu,
)
from jax.nn import (
    elu as elu,
)
from jax.nn import (
    gelu as gelu,
)
from jax.nn import (
    glu as glu,
)
from jax.nn import (
    hard_sigmoid as hard_sigmoid,
)
from jax.nn import (
    hard_silu as hard_silu,
)
from jax.nn import (
    hard_swish as hard_swish,
)
from jax.nn import (
    hard_tanh as hard_tanh,
)
from jax.nn import (
    identity as identity,
)
from jax.nn import (
    initializers as initializers,
)
from jax.nn import (
    leaky_relu as leaky_relu,
)
from jax.nn import (
    log_sigmoid as log_sigmoid,
)
from jax.nn import (
    log_softmax as log_softmax,
)
from jax.nn import (
    logsumexp as logsumexp,
)
from jax.nn import (
    one_hot as one_hot,
)
from jax.nn import (
    relu as relu,
)
from jax.nn import (
    relu6 as relu6,
)
from jax.nn import (
    selu as selu,
)
from jax.nn import (
    sigmoid as sigmoid,
)
from jax.nn import (
    silu as silu,
)
from jax.nn import (
    soft_sign as soft_sign,
)
from jax.nn import (
    softmax as softmax,
)
from jax.nn import (
    softplus as softplus,
)
from jax.nn import (
    standardize as standardize,
)
from jax.nn import (
    swish as swish,
)
from jax.nn import (
    tanh as tanh,
)

from nnxtrain.nnx import metrics as metrics
from nnxtrain.nnx.containers import Dict as Dict
from nnxtrain.nnx.containers import List as List
from nnxtrain.nnx.containers import Sequential as Sequential
from nnxtrain.nnx.errors import (
    FrozenError as FrozenError,
)
from nnxtrain.nnx.errors import (
    StructureError as StructureError,
)
from nnxtrain.nnx.errors import (
    TraceError as TraceError,
)
from nnxtrain.nnx.filters import (
    All as All,
)
from nnxtrain.nnx.filters import (
    AnyOf as Any,  # noqa: F401 (re-exported under Flax's name)
)
from nnxtrain.nnx.filters import (
    Everything as Everything,
)
from nnxtrain.nnx.filters import (
    Not as Not,
)
from nnxtrain.nnx.filters import (
    Nothing as Nothing,
)
from nnxtrain.nnx.filters import (
    OfType as OfType,
)
from nnxtrain.nnx.filters import (
    PathContains as PathContains,
)
from nnxtrain.nnx.filters import (
    WithTag as WithTag,
)
from nnxtrain.nnx.functional import (
    as_abstract as as_abstract,
)
from nnxtrain.nnx.functional import (
    clone as clone,
)
from nnxtrain.nnx.functional import (
    find_duplicates as find_duplicates,
)
from nnxtrain.nnx.functional import (
    graphdef as graphdef,
)
from nnxtrain.nnx.functional import (
    iter_children as iter_children,
)
from nnxtrain.nnx.functional import (
    iter_modules as iter_modules,
)
from nnxtrain.nnx.functional import (
    merge as merge,
)
from nnxtrain.nnx.functional import (
    pop as pop,
)
from nnxtrain.nnx.functional import (
    recursive_map as recursive_map,
)
from nnxtrain.nnx.functional import (
    split as split,
)
from nnxtrain.nnx.functional import (
    state as state,
)
from nnxtrain.nnx.functional import (
    update as update,
)
from nnxtrain.nnx.functional import (
    variables as variables,
)
from nnxtrain.nnx.graph import GraphDef as GraphDef
from nnxtrain.nnx.graph import iter_graph as iter_graph
from nnxtrain.nnx.guard import frozen as frozen
from nnxtrain.nnx.layers.conv import Conv as Conv
from nnxtrain.nnx.layers.linear import Linear as Linear
from nnxtrain.nnx.layers.norm import BatchNorm as BatchNorm
from nnxtrain.nnx.layers.pooling import (
    avg_pool as avg_pool,
)
from nnxtrain.nnx.layers.pooling import (
    max_pool as max_pool,
)
from nnxtrain.nnx.layers.pooling import (
    min_pool as min_pool,
)
from nnxtrain.nnx.layers.pooling import (
    pool as pool,
)
from nnxtrain.nnx.layers.stochastic import Dropout as Dropout
from nnxtrain.nnx.metrics import Average as Average
from nnxtrain.nnx.metrics import Metric as Metric
from nnxtrain.nnx.metrics import MultiMetric as MultiMetric
from nnxtrain.nnx.module import Module as Module
from nnxtrain.nnx.module import Object as Object
from nnxtrain.nnx.names import register_variable_name as register_variable_name
from nnxtrain.nnx.names import variable_name_from_type as variable_name_from_type
from nnxtrain.nnx.names import variable_type_from_name as variable_type_from_name
from nnxtrain.nnx.optimizer import ModelAndOptimizer as ModelAndOptimizer
from nnxtrain.nnx.optimizer import Optimizer as Optimizer
from nnxtrain.nnx.rngs import Rngs as Rngs
from nnxtrain.nnx.rngs import RngStream as RngStream
from nnxtrain.nnx.state import (
    State as State,
)
from nnxtrain.nnx.state import (
    filter_state as filter_state,
)
from nnxtrain.nnx.state import (
    from_flat_state as from_flat_state,
)
from nnxtrain.nnx.state import (
    map_state as map_state,
)
from nnxtrain.nnx.state import (
    merge_state as merge_state,
)
from nnxtrain.nnx.state import (
    replace_by_pure_dict as replace_by_pure_dict,
)
from nnxtrain.nnx.state import (
    restore_int_paths as restore_int_paths,
)
from nnxtrain.nnx.state import (
    split_state as split_state,
)
from nnxtrain.nnx.state import (
    to_flat_state as to_flat_state,
)
from nnxtrain.nnx.state import (
    to_pure_dict as to_pure_dict,
)
from nnxtrain.nnx.transforms.abstract import eval_shape as eval_shape
from nnxtrain.nnx.transforms.autodiff import (
    DiffState as DiffState,
)
from nnxtrain.nnx.transforms.autodiff import (
    grad as grad,
)
from nnxtrain.nnx.transforms.autodiff import (
    value_and_grad as value_and_grad,
)
from nnxtrain.nnx.transforms.jit import jit as jit
from nnxtrain.nnx.variables import (
    BatchStat as BatchStat,
)
from nnxtrain.nnx.variables import (
    Cache as Cache,
)
from nnxtrain.nnx.variables import (
    Intermediate as Intermediate,
)
from nnxtrain.nnx.variables import (
    OptArray as OptArray,
)
from nnxtrain.nnx.variables import (
    OptState as OptState,
)
from nnxtrain.nnx.variables import (
    OptVariable as OptVariable,
)
from nnxtrain.nnx.variables import (
    Param as Param,
)
from nnxtrain.nnx.variables import (
    Perturbation as Perturbation,
)
from nnxtrain.nnx.variables import (
    RngCount as RngCount,
)
from nnxtrain.nnx.variables import (
    RngKey as RngKey,
)
from nnxtrain.nnx.variables import (
    RngState as RngState,
)
from nnxtrain.nnx.variables import (
    Variable as Variable,
)
from nnxtrain.nnx.variables import (
    VariableMetadata as VariableMetadata,
)
from nnxtrain.nnx.variables import (
    with_metadata as with_metadata,
)

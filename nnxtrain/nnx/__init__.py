"""The module library: the API of Flax NNX, without flax, and with far less Python in each call.

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

from nnxtrain.nnx.errors import FrozenError, StructureError, TraceError
from nnxtrain.nnx.graph.cached import cached_partial
from nnxtrain.nnx.graph.filters import All, Everything, Not, Nothing, OfType, PathContains, WithTag
from nnxtrain.nnx.graph.filters import AnyOf as Any
from nnxtrain.nnx.graph.functional import (
    as_abstract,
    clone,
    flatten,
    graphdef,
    merge,
    pop,
    split,
    state,
    unflatten,
    update,
    variables,
)
from nnxtrain.nnx.graph.graphdef import GraphDef
from nnxtrain.nnx.graph.leaves import register_data_type
from nnxtrain.nnx.graph.state import (
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
from nnxtrain.nnx.graph.structure import iter_graph
from nnxtrain.nnx.graph.traverse import find_duplicates, iter_children, iter_modules, recursive_map
from nnxtrain.nnx.graph.views import view, with_attributes
from nnxtrain.nnx.inspection.display import display
from nnxtrain.nnx.inspection.graphdef_diff import graphdef_diff
from nnxtrain.nnx.inspection.recompile import explain_recompile
from nnxtrain.nnx.inspection.tabulate import tabulate
from nnxtrain.nnx.layers.attention import MultiHeadAttention
from nnxtrain.nnx.layers.batch_norm import BatchNorm
from nnxtrain.nnx.layers.bidirectional import Bidirectional
from nnxtrain.nnx.layers.cell import RNNCellBase
from nnxtrain.nnx.layers.conv import Conv
from nnxtrain.nnx.layers.conv_transpose import ConvTranspose
from nnxtrain.nnx.layers.dot_product import dot_product_attention
from nnxtrain.nnx.layers.einsum import Einsum
from nnxtrain.nnx.layers.embed import Embed
from nnxtrain.nnx.layers.group_norm import GroupNorm, InstanceNorm
from nnxtrain.nnx.layers.gru import GRUCell
from nnxtrain.nnx.layers.layer_norm import LayerNorm, RMSNorm
from nnxtrain.nnx.layers.linear import Linear
from nnxtrain.nnx.layers.linear_general import LinearGeneral
from nnxtrain.nnx.layers.lora import LoRA, LoRALinear, LoRAParam
from nnxtrain.nnx.layers.lstm import LSTMCell, OptimizedLSTMCell
from nnxtrain.nnx.layers.masks import combine_masks, make_attention_mask, make_causal_mask
from nnxtrain.nnx.layers.pooling import avg_pool, max_pool, min_pool, pool
from nnxtrain.nnx.layers.prelu import PReLU
from nnxtrain.nnx.layers.rnn import RNN
from nnxtrain.nnx.layers.simple_cell import SimpleCell
from nnxtrain.nnx.layers.spectral_norm import SpectralNorm
from nnxtrain.nnx.layers.stacked import Stacked
from nnxtrain.nnx.layers.stochastic import Dropout
from nnxtrain.nnx.layers.weight_norm import WeightNorm
from nnxtrain.nnx.module import struct
from nnxtrain.nnx.module.annotate import data, is_data, static
from nnxtrain.nnx.module.capturing import capture
from nnxtrain.nnx.module.containers import Dict, List, Sequential
from nnxtrain.nnx.module.dataclass_object import dataclass
from nnxtrain.nnx.module.guard import frozen
from nnxtrain.nnx.module.module import Module, Object, Pytree
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rng_transforms import (
    fork_rngs,
    reseed,
    restore_rngs,
    split_rngs,
    with_rngs,
)
from nnxtrain.nnx.random.rngs import Rngs, RngStream
from nnxtrain.nnx.saving.checkpoint import load, load_report, save
from nnxtrain.nnx.saving.report import LoadError, LoadReport, LoadWarning
from nnxtrain.nnx.saving.safetensors import load_safetensors, save_safetensors
from nnxtrain.nnx.saving.serialization import from_bytes, to_bytes
from nnxtrain.nnx.training import metrics
from nnxtrain.nnx.training.ema import EMA
from nnxtrain.nnx.training.metrics import Average, Metric, MultiMetric
from nnxtrain.nnx.training.optimizer import ModelAndOptimizer, Optimizer
from nnxtrain.nnx.training.train_state import TrainState
from nnxtrain.nnx.transforms.abstract import eval_shape
from nnxtrain.nnx.transforms.autodiff import DiffState, grad, value_and_grad
from nnxtrain.nnx.transforms.axes import Carry, StateAxes, StateSharding
from nnxtrain.nnx.transforms.axis_names import PARTITION_NAME
from nnxtrain.nnx.transforms.checkify import checkify
from nnxtrain.nnx.transforms.control import cond, fori_loop, switch, while_loop
from nnxtrain.nnx.transforms.custom_vjp import custom_vjp
from nnxtrain.nnx.transforms.jaxpr import make_jaxpr
from nnxtrain.nnx.transforms.jit import jit
from nnxtrain.nnx.transforms.products import jvp, vjp
from nnxtrain.nnx.transforms.remat import remat
from nnxtrain.nnx.transforms.scan import scan
from nnxtrain.nnx.transforms.shard_map import shard_map
from nnxtrain.nnx.transforms.vmap import vmap
from nnxtrain.nnx.variable.metadata import VariableMetadata, with_metadata
from nnxtrain.nnx.variable.names import (
    register_variable_name,
    variable_name_from_type,
    variable_type_from_name,
)
from nnxtrain.nnx.variable.partitioning import (
    get_abstract_model,
    get_named_sharding,
    get_partition_spec,
    with_partitioning,
)
from nnxtrain.nnx.variable.variable import (
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
    "EMA",
    "PARTITION_NAME",
    "RNN",
    "All",
    "Any",
    "Average",
    "BatchNorm",
    "BatchStat",
    "Bidirectional",
    "Cache",
    "Carry",
    "Conv",
    "ConvTranspose",
    "Dict",
    "DiffState",
    "Dropout",
    "Einsum",
    "Embed",
    "Everything",
    "FrozenError",
    "GRUCell",
    "GraphDef",
    "GroupNorm",
    "InstanceNorm",
    "Intermediate",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "LinearGeneral",
    "List",
    "LoRA",
    "LoRALinear",
    "LoRAParam",
    "LoadError",
    "LoadReport",
    "LoadWarning",
    "Metric",
    "ModelAndOptimizer",
    "Module",
    "MultiHeadAttention",
    "MultiMetric",
    "Not",
    "Nothing",
    "Object",
    "OfType",
    "OptArray",
    "OptState",
    "OptVariable",
    "OptimizedLSTMCell",
    "Optimizer",
    "PReLU",
    "Param",
    "PathContains",
    "Perturbation",
    "Pytree",
    "RMSNorm",
    "RNNCellBase",
    "RngCount",
    "RngKey",
    "RngState",
    "RngStream",
    "Rngs",
    "Sequential",
    "SimpleCell",
    "SpectralNorm",
    "Stacked",
    "State",
    "StateAxes",
    "StateSharding",
    "StructureError",
    "TraceError",
    "TrainState",
    "Variable",
    "VariableMetadata",
    "WeightNorm",
    "WithTag",
    "as_abstract",
    "avg_pool",
    "cached_partial",
    "capture",
    "celu",
    "checkify",
    "clone",
    "combine_masks",
    "cond",
    "custom_vjp",
    "data",
    "dataclass",
    "display",
    "dot_product_attention",
    "elu",
    "eval_shape",
    "explain_recompile",
    "filter_state",
    "find_duplicates",
    "flatten",
    "fori_loop",
    "fork_rngs",
    "from_bytes",
    "from_flat_state",
    "frozen",
    "gelu",
    "get_abstract_model",
    "get_named_sharding",
    "get_partition_spec",
    "glu",
    "grad",
    "graphdef",
    "graphdef_diff",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "initializers",
    "is_data",
    "iter_children",
    "iter_graph",
    "iter_modules",
    "jit",
    "jvp",
    "leaky_relu",
    "load",
    "load_report",
    "load_safetensors",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "make_attention_mask",
    "make_causal_mask",
    "make_jaxpr",
    "map_state",
    "max_pool",
    "merge",
    "merge_state",
    "metrics",
    "min_pool",
    "one_hot",
    "pool",
    "pop",
    "recursive_map",
    "register_data_type",
    "register_variable_name",
    "relu",
    "relu6",
    "remat",
    "replace_by_pure_dict",
    "reseed",
    "restore_int_paths",
    "restore_rngs",
    "save",
    "save_safetensors",
    "scan",
    "selu",
    "shard_map",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "split",
    "split_rngs",
    "split_state",
    "standardize",
    "state",
    "static",
    "struct",
    "swish",
    "switch",
    "tabulate",
    "tanh",
    "to_bytes",
    "to_flat_state",
    "to_pure_dict",
    "unflatten",
    "update",
    "value_and_grad",
    "variable_name_from_type",
    "variable_type_from_name",
    "variables",
    "view",
    "vjp",
    "vmap",
    "while_loop",
    "with_attributes",
    "with_metadata",
    "with_partitioning",
    "with_rngs",
]  # fmt: skip

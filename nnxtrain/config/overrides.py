"""Overrides as text: those of nodes are opened for Hydra, and a key is traced back to its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from nnxtrain.config.schema import NODES

_GROUP_NODES = r"optim\.groups\.\d+\.(?:schedule|optimizer)"
_NODE = "|".join([*map(re.escape, NODES), _GROUP_NODES])
_NODE_ARGUMENT = re.compile(rf"({_NODE})(\.[^=]+=|=\{{).*", re.DOTALL)


def open_nodes(overrides: Iterable[str]) -> list[str]:
    """Let overrides set any argument of a node, listed in its YAML file or not.

    Hydra would want ``+model.dropout_rate=0.1`` for an argument that the file leaves at its
    default. Whether the target has the argument is what ``check`` knows, so we say ``++`` here.

    >>> open_nodes(["model=mlp", "model.dropout_rate=0.1", "seed=1"])
    ['model=mlp', '++model.dropout_rate=0.1', 'seed=1']
    """
    return [f"++{text}" if _NODE_ARGUMENT.fullmatch(text) else text for text in overrides]


def as_typed(override: str) -> str:
    """Undo ``open_nodes`` for one override.

    >>> as_typed("++model.hidden=[3]"), as_typed("+a=1")
    ('model.hidden=[3]', '+a=1')
    """
    bare = override.removeprefix("++")
    return bare if open_nodes([bare]) == [override] else override


def override_of(key: str, overrides: Sequence[str]) -> str | None:
    """Return the last override that names ``key``, something in it, or a node it lies in.

    The choice of an option (``model=mlp``) is not the origin of a key in that option's file.

    >>> override_of("model.hidden", ["model=mlp", "model.hidden=3", "seed=1"])
    'model.hidden=3'
    >>> override_of("model.hidden[1]", ["model=mlp"]) is None
    True
    >>> override_of("optim.groups[0].scale", ["optim.groups.0.scale=2"])
    'optim.groups.0.scale=2'
    """
    for override in reversed(overrides):
        name, _, value = override.lstrip("+~").partition("=")
        name = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", name)
        inside = ("." in name or value.startswith("{")) and re.match(
            rf"{re.escape(name)}[.\[]", key
        )
        if key == name or inside or name.startswith((f"{key}.", f"{key}[")):
            return override
    return None

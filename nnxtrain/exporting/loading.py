"""``load.py`` of an export: the lines with which another program calls the model, without nnxtrain."""

from __future__ import annotations

from nnxtrain.exporting.program import Program

PROGRAM = "model.stablehlo"
WEIGHTS = "weights.safetensors"

_SCRIPT = '''"""Call this model. It needs {packages}, and not what it was trained with.

    python load.py input.npy output.npy
"""

from pathlib import Path

import jax
{imports}

HERE = Path(__file__).resolve().parent
program = export.deserialize(bytearray((HERE / "{program}").read_bytes()))
call = jax.jit(program.call)  # compiled once for each batch size
{weights}

def predict({names}):
    """{signature}"""
    return call({arguments})


if __name__ == "__main__":
    import sys

    import numpy as np

    *inputs, output = sys.argv[1:]
    np.save(output, predict(*map(np.load, inputs)))
'''


def load_script(program: Program) -> str:
    """The text of ``load.py``."""
    separate = program.separate
    names = _names(program)
    return _SCRIPT.format(
        packages="jax, flatbuffers and safetensors" if separate else "jax and flatbuffers",
        imports="from jax import export" + "\nfrom safetensors.numpy import load_file" * separate,
        program=PROGRAM,
        weights=f'weights = load_file(HERE / "{WEIGHTS}")\n' if separate else "",
        names=names,
        signature=program.signature(),
        arguments=f"weights, {names}" if separate else names,
    )


def load_lines(program: Program, folder: str) -> list[str]:
    """The same for a Python prompt."""
    names = _names(program)
    lines = ["from jax import export"]
    if program.separate:
        lines.append("from safetensors.numpy import load_file")
        lines.append(f"weights = load_file({f'{folder}/{WEIGHTS}'!r})")
        names = f"weights, {names}"
    lines.append(
        f"program = export.deserialize(bytearray(open({f'{folder}/{PROGRAM}'!r}, 'rb').read()))"
    )
    return [*lines, f"{program.output} = program.call({names})  # {program.signature()}"]


def _names(program: Program) -> str:
    return ", ".join("x" if name == "input" else name for name in program.inputs)

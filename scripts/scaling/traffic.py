"""What devices send each other in one training step: from the compiled program, for simulated devices.

    python -m scripts.scaling.traffic --devices 8 config=transformer_char model=gpt2_small mesh=fsdp

Nothing is trained and no array is made: the step is compiled for so many simulated devices of a CPU, and its collective
operations are read from the program. Bytes are those that one device sends, by the ring algorithms (Patarasuk and Yuan
2009, https://doi.org/10.1016/j.jpdc.2008.09.002): of S bytes over n devices an all-reduce sends 2 (n-1)/n S, the others
(n-1)/n S.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter

BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2}
BYTES |= {"s8": 1, "u8": 1, "pred": 1}
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
OPERATION = re.compile(
    rf"= (?P<result>\(?[a-z0-9].*?) (?P<kind>{'|'.join(KINDS)})(?:-start)?\((?P<rest>.*)$"
)
SHAPE = re.compile(r"\b([a-z]+[0-9]*)\[([0-9,]*)\]")


def traffic(program: str, devices: int) -> Counter[str]:
    """Return the bytes that one of the devices sends in a program, by kind of operation.

    Raises ValueError for operations in a loop, which would have to be counted as often as it turns.

    >>> line = "%r = f32[1024]{0} all-reduce(f32[1024]{0} %x), replica_groups={{0,1,2,3}}, to_apply=%add"
    >>> traffic(line, devices=8)
    Counter({'all-reduce': 6144})
    """
    found: Counter[str] = Counter()
    looped = _bodies(program)
    computation = ""
    for line in program.splitlines():
        if line and not line[0].isspace() and "{" in line:
            computation = line.split()[0 if not line.startswith("ENTRY") else 1].lstrip("%")
        match = OPERATION.search(line)
        if not match:
            continue
        if computation in looped:
            raise ValueError(f"a collective operation in a loop: {line.strip()[:100]}")
        group = _group(match["rest"], devices)
        size = sum(_size(*shape) for shape in SHAPE.findall(match["result"]))
        if match["kind"] == "reduce-scatter":
            size *= group  # the result is a part of what is reduced
        share = (group - 1) / group
        times = {"all-reduce": 2 * share, "collective-permute": 1.0}.get(match["kind"], share)
        found[match["kind"]] += round(times * size)
    return found


def _bodies(program: str) -> set[str]:
    return set(re.findall(r"body=%?([\w.\-]+)", program))


def _group(text: str, devices: int) -> int:
    """How many of the devices take part in an operation together."""
    if match := re.search(r"replica_groups=\{\{([0-9,]+)\}", text):
        return match[1].count(",") + 1
    if match := re.search(r"replica_groups=\[([0-9]+),([0-9]+)\]", text):
        return int(match[2])
    return devices  # none are named: all


def _size(kind: str, dimensions: str) -> int:
    return BYTES[kind] * math.prod(int(n) for n in dimensions.split(",") if n)


def main() -> None:
    """Print one JSON object: the mesh, bytes of the state on each device, and what it sends in a step."""
    words = sys.argv[1:]
    count = int(words.pop(words.index("--devices") + 1))
    words.remove("--devices")
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
    from nnxtrain.api import checked
    from nnxtrain.training.check import estimate, lower_step
    from nnxtrain.training.session import Session

    session = Session.open(checked(words))
    found = estimate(session, compiled=False)
    program = lower_step(session).compile().as_text()
    sent = traffic(program, count)
    print(
        json.dumps(
            {
                "mesh": dict(session.layout.mesh.shape),
                "batch_size": session.config.trainer.batch_size,
                "parameters": found.parameters[0],
                "state_bytes": found.state,
                "sent_bytes": sum(sent.values()),
                "by_kind": dict(sent),
            }
        )
    )


if __name__ == "__main__":
    main()

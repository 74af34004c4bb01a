"""A contestant: ``nnxtrain fit``, in this process. Prints one JSON object.

What is timed is the whole of training as a user has it: the loop, what it logs, the check that all is finite, and the
gradient's norm and the metrics, which the peers do not compute. Times are those of ``metrics.jsonl``, whose lines are
written when the device's answer has come.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import jax

import nnxtrain
from nnxtrain import nnx
from nnxtrain.api import checked
from nnxtrain.training.metrics_log import read_metrics
from nnxtrain.training.session import Session


def overrides(told: dict[str, Any]) -> list[str]:
    """What would be typed after ``nnxtrain fit``."""
    work, options = told["work"], told["options"]
    model, steps = work["model"], work["steps"]
    chosen = {
        "resnet18": [
            "model=resnet18",
            *(f"model.{name}={size}" for name, size in model.items()),
            "optim=sgd",
            "optim.learning_rate=0.02",
            "trainer.precision=bfloat16",
            "trainer.placement=device",
        ],
        "lenet": ["model=lenet", "optim=adam", "trainer.placement=device"],
        "gpt2": [
            "model=gpt2_small",
            "task=language_model",
            "optim=adamw",
            "optim.learning_rate=6e-4",
            "optim.optimizer.b2=0.95",
            "optim.optimizer.weight_decay=0.1",
            "optim.decay_bias_and_scale=false",
            "optim.clip_norm=1",
            "trainer.precision=bfloat16",
        ],
    }[work["subject"]]
    if work["subject"] == "gpt2":
        data = [
            "data=tokens",
            f"data.vocab_size={model['vocabulary']}",
            f"data.length={model['length']}",
        ]
        sizes = {
            "max_length": model["length"],
            "num_layers": model["layers"],
            "width": model["width"],
            "num_heads": model["heads"],
            "dropout_rate": 0.0,
        }
        chosen += [f"model.{name}={size}" for name, size in sizes.items()]
    else:
        data = ["data=arrays"]
    shares = 0.1 if told["smoke"] else 0.01
    return [
        *chosen,
        *data,
        f"data.train={told['data']}",
        f"data.validation_fraction={shares}",
        f"data.test_fraction={shares}",
        "optim/schedule=constant",
        "trainer.epochs=null",
        f"trainer.steps={steps * (work['windows'] + 1)}",
        f"trainer.eval_every={steps * (work['windows'] + 1)}",
        f"trainer.log_every={steps}",
        f"trainer.batch_size={work['batch']}",
        f"trainer.eval_batch_size={64 if told['smoke'] else work['batch']}",
        *(f"trainer.{name}={value}" for name, value in options.items()),
    ]


def main() -> None:
    told = json.loads(sys.argv[1])
    typed = overrides(told)
    model = Session.open(checked(typed)).shapes.model
    run = nnxtrain.fit(typed, directory=Path(told["folder"], "run"))
    lines = [x for x in read_metrics(run.directory / "metrics.jsonl") if x["split"] == "train"]
    memory = jax.local_devices()[0].memory_stats() or {}
    answer = {
        "seconds": [
            (after["time"] - before["time"]) / (after["step"] - before["step"])
            for before, after in itertools.pairwise(lines)
        ],
        "losses": [line["loss"] for line in lines],
        "parameters": sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param))),
        "peak_bytes": memory.get("peak_bytes_in_use"),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

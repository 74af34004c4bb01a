"""What a small run compiles and imports: counted, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

# One batch size for all splits; on one device.
CODE = """
import json, sys
import jax.monitoring
import nnxtrain

compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **about: compiled.append(about.get("fun_name", ""))
    if event == "/jax/core/compile/backend_compile_duration" else None
)

def run(*overrides):
    compiled.clear()
    return nnxtrain.fit(overrides), list(compiled)

steps = "trainer.steps="
first, programs = run(
    "data=synthetic", "data.size=200", "data.shape=[8,8,1]", "model=mlp", "model.hidden=[16,8]", "trainer.epochs=null",
    "trainer.batch_size=16", "trainer.eval_batch_size=8", "trainer.eval_every=2", "trainer.log_every=1", steps + "4",
    *sys.argv[1:],
)
heavy = sorted({name.partition(".")[0] for name in sys.modules})
_, resumed = run(f"run={first.directory}", steps + "6")
_, continued = run(f"from={first.directory}")
print(json.dumps([programs, resumed, continued, heavy]))
"""


@pytest.fixture(scope="module", params=["device", "host"])
def runs(request, tmp_path_factory) -> tuple[str, list]:
    folder = tmp_path_factory.mktemp("start")
    environment = os.environ | {"XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, f"trainer.placement={request.param}"],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return request.param, json.loads(done.stdout.splitlines()[-1])


def test_a_run_compiles_its_steps_once_and_little_else(runs) -> None:
    _, (programs, resumed, continued, _) = runs
    counts = Counter(programs)
    assert counts["jit(train_step)"] == 1
    assert counts["jit(eval_step)"] == 1, (
        "one for validation and test, whose states come from the disk"
    )
    assert len(programs) <= 5, programs
    for later in (resumed, continued):
        # A new session has new functions; what is restored compiles them as what was made does.
        assert Counter(later)["jit(train_step)"] == 1, later
        assert Counter(later)["jit(eval_step)"] == 1, later
        assert len(later) <= 4, later


def test_a_run_imports_nothing_that_it_does_not_use(runs) -> None:
    _, (_, _, _, loaded) = runs
    others = {"grain", "tensorflow_datasets", "tensorflow", "PIL", "tensorboardX", "wandb", "optuna", "submitit", "torch",
              "flax", "pandas", "matplotlib", "IPython", "safetensors", "array_record"}  # fmt: skip
    assert others.isdisjoint(loaded)

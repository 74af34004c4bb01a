"""Training inside submitit's jobs: a function that calls ``nnxtrain.fit``, and Hydra's launcher of ``fit -m``."""

import json
import sys
from pathlib import Path

import pytest

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.epochs=null", "trainer.batch_size=64",
    "trainer.eval_every=10000",
]  # fmt: skip

PROGRAM = """
import sys
import submitit

class Training:
    def __call__(self, overrides):
        import nnxtrain
        return str(nnxtrain.fit(overrides).directory)

    def checkpoint(self, overrides):
        return submitit.helpers.DelayedSubmission(self, overrides)

executor = submitit.SlurmExecutor("logs")
executor.update_parameters(partition="debug", time=10)
print(executor.submit(Training(), sys.argv[1:]).job_id)
"""


@pytest.mark.slow
def test_submitit_requeues_a_job_when_its_run_is_saved_and_it_goes_on(jobs):
    (jobs.folder / "submit.py").write_text(PROGRAM)
    steps = ["trainer.steps=600", "trainer.log_every=1"]
    job = jobs.run(sys.executable, "submit.py", *TINY, *steps).split()[-1]

    def said():
        return "".join(
            path.read_text()
            for path in sorted((jobs.folder / "logs").glob(f"{job}*"))
            if path.suffix != ".pkl"
        )

    jobs.wait(lambda: "step 1/600" in said(), about=said)
    jobs.run("scancel", "--signal=USR2", job)
    assert jobs.ended(job)[0] == "COMPLETED", said()
    (run,) = (jobs.folder / "runs").glob("*_*")
    for text in ("Calling checkpoint method", "Job completed successfully", f"resuming runs/{run.name} at step",
                 f"this job was requeued; its run goes on: runs/{run.name}"):  # fmt: skip
        assert text in said(), text
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 601))


@pytest.mark.slow
def test_hydras_launcher(jobs):
    slurm = [
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.partition=debug",
        "hydra.launcher.timeout_min=5",
    ]
    given = [*TINY, "trainer.steps=3", "seed=1,2", *slurm]
    table = jobs.run(sys.executable, "-m", "nnxtrain", "fit", "-m", *given)
    runs = sorted(Path(jobs.folder / "runs").glob("*_mlp_*"))
    assert len(runs) == 2
    assert all(f"runs/{run.name}" in table for run in runs), table
    found = [json.loads((run / "run.json").read_text()) for run in runs]
    assert {run["job"]["array_task"] for run in found} == {"0", "1"}
    assert {run["overrides"][-1] for run in found} == {"seed=1", "seed=2"}

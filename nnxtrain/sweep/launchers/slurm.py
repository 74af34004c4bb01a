"""Trials as jobs of Slurm: an array, submitted through submitit; one that is preempted or out of time is queued again."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nnxtrain.errors import InputError, RunError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers.launcher import trial_command
from nnxtrain.sweep.spec import SweepConfig

REQUEUES = 1000  # how often a trial may run out of time, and go on


@dataclass(frozen=True)
class SlurmLauncher:
    """Submits an array of jobs, one for each trial, and asks ``squeue`` for all of them at once. What is more than the
    cluster takes in one array is several.

    What submitit writes lies in ``slurm/`` of the sweep's directory: the job script, and what it prints itself.
    """

    spec: SweepConfig
    pause: ClassVar[float] = 10.0  # one controller answers all users of the cluster

    def check(self) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise InputError(
                "sweep.launcher=slurm needs submitit: pip install 'nnxtrain[slurm]' on the cluster"
            )
        if shutil.which("sbatch") is None:
            raise InputError(
                "sweep.launcher=slurm: there is no sbatch here; start the sweep where jobs can be submitted"
            )
        if self.spec.slurm.grace >= 60 * self.spec.slurm.minutes:
            raise InputError(
                f"sweep.slurm.grace={self.spec.slurm.grace} seconds: a trial of sweep.slurm.minutes="
                f"{self.spec.slurm.minutes} would end as it begins; give more minutes, or less grace"
            )

    def launch(self, sweep: SweepDirectory, numbers: Sequence[int]) -> None:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError

        # What is ignored stays so until submitit sets its handler: Slurm may repeat its signal while Python starts.
        python = f'sh -c \'trap "" USR2; exec "$@"\' sh {shlex.quote(sys.executable)}'
        executor = SlurmExecutor(sweep.path / "slurm", max_num_timeout=REQUEUES, python=python)
        before: str | None = None
        limit = _array_limit()
        for part in (numbers[i : i + limit] for i in range(0, len(numbers), limit)):
            executor.update_parameters(**self._parameters(sweep, len(part), before))
            try:
                jobs = executor.map_array(RunTrial(), [str(sweep.path)] * len(part), part)
            except (FailedJobError, OSError) as error:
                raise RunError(
                    f"Slurm did not take trials {part[0]} to {numbers[-1]}: {_said(error)}"
                ) from error
            ids = [job.job_id for job in jobs]
            sweep.note_launch({"time": time.time(), "trials": list(part), "jobs": ids})
            before = ids[0].partition("_")[0]

    def held(self, sweep: SweepDirectory) -> set[int]:
        users = f"{sweep.path.stat().st_uid},{os.getuid()}"  # whose sweep it is, who asks
        done = _ask("squeue", "--user", users, "--array", "--noheader", "--format=%i")
        waiting = set(done.split())
        return {
            number
            for launch in sweep.launches
            for number, job in zip(launch["trials"], launch["jobs"], strict=True)
            if job in waiting
        }

    def cancel(self, sweep: SweepDirectory, numbers: Collection[int]) -> None:
        jobs = [
            job
            for launch in sweep.launches
            for number, job in zip(launch["trials"], launch["jobs"], strict=True)
            if number in numbers
        ]
        if jobs:
            _ask("scancel", "--quiet", *jobs)

    def _parameters(self, sweep: SweepDirectory, count: int, before: str | None) -> dict[str, Any]:
        """What submitit is to write into the job script.

        Slurm counts those that run at once in each array by itself, so an array waits for the one ``before``.
        """
        asked = self.spec.slurm
        wait = {"dependency": f"afterany:{before}"} if before and self.spec.parallel else {}
        memory = None if asked.memory is None else f"{round(asked.memory * 1024)}M"
        return {
            "job_name": sweep.name,
            "partition": asked.partition,
            "account": asked.account,
            "qos": asked.qos,
            "time": asked.minutes,
            "nodes": asked.nodes,
            "ntasks_per_node": asked.tasks,
            "cpus_per_task": asked.cpus,
            "gpus_per_node": asked.gpus,
            "mem": memory,
            "signal_delay_s": asked.grace,
            "setup": asked.setup,
            "array_parallelism": self.spec.parallel or count,
            "additional_parameters": {
                "requeue": True,
                "chdir": sweep.content["working_directory"],
                **wait,
                **asked.extra,
            },
        }


class RunTrial:
    """What a job does: the command of a trial, in a process that saves when Slurm sends submitit's signal."""

    def __call__(self, path: str, number: int) -> None:
        from submitit import JobEnvironment

        sweep = SweepDirectory.open(path)
        asked: list[int] = []
        preempted = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        requeue = signal.signal(preempted, lambda number, _: asked.append(number))
        with open(sweep.log_path(number), "ab") as log:
            trial = subprocess.Popen(
                trial_command(sweep, number), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            while (code := trial.poll()) is None:
                if asked:
                    trial.send_signal(preempted)  # in case Slurm told this process alone
                    code = trial.wait()
                    break
                time.sleep(0.2)
        if code and asked and callable(requeue):
            requeue(preempted, None)
            return  # of several tasks only the first does not come back: the others must not end its job
        if code:
            sys.exit(code if code > 0 else 128 - code)

    def checkpoint(self, path: str, number: int) -> Any:
        """Return what the requeued job does, as submitit asks: the same, which goes on with the trial's run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, path, number)


def _array_limit() -> int:
    """How many jobs the cluster takes in one array."""
    for line in _ask("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize":
            return max(1, int(value))
    return 1001  # Slurm's own


def _ask(*command: str) -> str:
    """Return what one of Slurm's commands prints.

    Raises RunError if it fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(f"{command[0]} failed: {_said(error)}") from error
    if done.returncode:
        raise RunError(f"{command[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout


def _said(error: BaseException) -> str:
    """The last line of what a command said, of which submitit repeats a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

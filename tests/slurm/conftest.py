"""One Slurm for all tests here, in all workers of pytest-xdist; it starts in some seconds, where its packages are."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from scripts.slurm.cluster import Cluster, UnavailableError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The environment of processes that use the cluster. The last worker that leaves stops it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    cluster, users, lock = (
        Cluster(base / "slurm"),
        base / "slurm.users",
        FileLock(base / "slurm.lock"),
    )

    def count(change):
        now = int(users.read_text() if users.exists() else 0) + change
        users.write_text(str(now))
        return now

    with lock:
        try:
            cluster.start()
        except UnavailableError as reason:
            pytest.skip(str(reason))
        count(+1)
    yield cluster.environment
    with lock:
        if count(-1) == 0:
            cluster.stop()


class Jobs:
    """Slurm's commands in one working directory, and the jobs submitted there."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.environment = environment

    def run(self, *command):
        """Return what a command prints; it has to succeed."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, timeout=120, **pipes
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def start(self, *command):
        """Begin a command whose output is in step.out."""
        with open(self.folder / "step.out", "w") as out:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=out, stderr=out
            )

    def submit(self, script, *options):
        """Submit the text of a job script, and return the job's id. Its output is in ID.out."""
        (self.folder / "job.sh").write_text(script)
        return self.run("sbatch", "--parsable", "--output=%j.out", *options, "job.sh").strip()

    def output(self, job):
        path = self.folder / f"{job}.out"
        return path.read_text() if path.exists() else ""

    def state(self, job):
        return self.run("sacct", "-X", "-n", "-P", "-o", "State", "-j", job).split("\n")[0]

    def history(self, job):
        """What accounting knows of a job's lives."""
        return self.run("sacct", "-D", "-P", "-o", "JobID,State,ExitCode,Start,End", "-j", job)

    def wait(self, ask, seconds=90, about=lambda: ""):
        """Wait until ``ask()`` is true, and return that."""
        deadline = time.monotonic() + seconds
        while not (answer := ask()):
            assert time.monotonic() < deadline, about()
            time.sleep(0.1)
        return answer

    def ended(self, job):
        """Wait until a job has ended, and return its state and what it printed."""

        def ask():
            state = self.state(job)
            return (
                state
                if state.split()[:1] not in ([], ["PENDING"], ["RUNNING"], ["REQUEUED"])
                else None
            )

        return self.wait(ask, about=lambda: self.output(job)), self.output(job)


@pytest.fixture
def jobs(cluster, tmp_path):
    """Jobs in a folder of their own, whose processes import this repository."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("SLURM_", "NNXTRAIN_"))
    }
    environment |= cluster
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHON": sys.executable,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "XLA_FLAGS": "",
    }
    return Jobs(tmp_path, environment)

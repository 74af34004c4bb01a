"""Where a run comes from: the command, the versions, the machine, the job and the code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

PACKAGES = ("nnxtrain", "jax", "jaxlib", "optax", "orbax-checkpoint", "numpy")


def provenance(
    *, command: Sequence[str], overrides: Sequence[str], devices: Sequence[str]
) -> tuple[dict[str, Any], str | None]:
    """Return what ``run.json`` holds, and the uncommitted changes as a git diff.

    ``devices`` are names as jax gives them: asking for them here would start the backend. The diff
    is None where the working directory is in no git checkout, or nothing is changed.
    """
    git, diff = _git()
    return {
        "started": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": list(command),
        "overrides": list(overrides),
        "working_directory": os.getcwd(),
        "devices": list(devices),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "versions": versions(),
        "git": git,
        "job": slurm_job(),
    }, diff


def slurm_job(environment: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """Return what names the Slurm job that this process is of, also after a requeue; None: it is of none.

    >>> slurm_job({"SLURM_JOB_ID": "19", "SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "2", "SLURM_CLUSTER_NAME": "a"})
    {'cluster': 'a', 'id': '17', 'array_task': '2'}
    """
    if "SLURM_JOB_ID" not in environment:
        return None
    job = {"cluster": environment.get("SLURM_CLUSTER_NAME", "")}
    if "SLURM_ARRAY_JOB_ID" in environment:
        return job | {
            "id": environment["SLURM_ARRAY_JOB_ID"],
            "array_task": environment["SLURM_ARRAY_TASK_ID"],
        }
    return job | {"id": environment["SLURM_JOB_ID"]}


def versions() -> dict[str, str | None]:
    """Of Python and of the packages that decide what a model computes; None: not installed as a package."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _git() -> tuple[dict[str, Any] | None, str | None]:
    """Commit and diff of the checkout around the working directory; untracked files do not count.

    Nothing here may fail a run: no git, no checkout, no commit yet, a very slow disk.
    """
    root = _ask_git("rev-parse", "--show-toplevel")
    if root is None:
        return None, None
    commit = _ask_git("rev-parse", "--verify", "HEAD")
    diff = _ask_git("diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--", root)
    state = {"root": root, "commit": commit, "dirty": None if diff is None else bool(diff)}
    return state, f"{diff}\n" if diff else None


def _ask_git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=10,
            check=True,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").removesuffix("\n")

"""A Slurm job that was requeued begins its script anew: the run it had made is found, and gone on with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain.parallel.agreement import leads, told
from nnxtrain.training.fit import Run, resume
from nnxtrain.training.provenance import slurm_job
from nnxtrain.training.run_directory import RunDirectory, list_runs
from nnxtrain.training.run_summary import summarize


def go_on(runs_dir: str | os.PathLike[str], overrides: Sequence[str], **options: Any) -> Run | None:
    """Resume the run that this job made with the same overrides, the newest if there are several; None if there is none.

    Of a finished run only the results are read. Process 0 chooses. ``options`` and errors as those of
    :func:`nnxtrain.training.fit.resume`.
    """
    job = slurm_job()

    def look() -> str | None:
        runs = [
            str(run.path)
            for run in list_runs(runs_dir)
            if run.origin.get("job") == job and run.origin.get("overrides") == list(overrides)
        ]
        return runs[-1] if runs else None

    found = told(look)
    if found is None:
        return None
    summary = summarize(RunDirectory(Path(found)))
    finished = summary.state == "finished"
    if leads():
        what = "has finished" if finished else "goes on"
        print(f"this job was requeued; its run {what}: {found}", flush=True)
    if not finished:
        return resume(Path(found), **options)
    (test,) = [record for record in summary.records if record.get("split") == "test"][-1:]
    score = {f"val_{summary.monitor}": summary.best}
    return Run(Path(found), {**summary.test, "step": test["step"], **score})

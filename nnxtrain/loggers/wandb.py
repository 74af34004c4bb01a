"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from nnxtrain.loggers.logger import Line, needs


class WandB:
    """Sends metrics and the configuration to Weights & Biases.

    The run's id there is the name of its directory, so that a resumed run goes on in the same place. Offline, its files
    lie in ``wandb`` in the run's directory until ``wandb sync`` sends them.

    Args:
      project, entity, group, tags: where the run is filed (https://docs.wandb.ai/ref/python/init).
      mode: ``online``, ``offline`` or ``disabled``; by default what ``$WANDB_MODE`` says, or else online.
    """

    def __init__(
        self,
        project: str = "nnxtrain",
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        mode: Literal["online", "offline", "disabled"] | None = None,
    ):
        needs("wandb", "wandb")
        self.project, self.entity, self.group, self.mode = project, entity, group, mode
        self.tags = list(tags)

    def open(self, directory: Path, config: dict[str, Any], history: Sequence[Line]) -> None:
        import wandb

        name = directory.resolve().name
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
            mode=self.mode,
            id=name,
            name=name,
            dir=str(directory),
            resume="allow",
            config=config,
            settings=wandb.Settings(silent=True, console="off"),
        )
        # W&B's own count of steps only grows, but a resumed run may measure a step once more.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, line: Line) -> None:
        self._run.log({"step": line.step, "epoch": line.epoch, **line.tagged()})

    def close(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)

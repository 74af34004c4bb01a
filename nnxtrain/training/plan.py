"""The rhythm of a run: after which steps it logs, evaluates and saves. Pure arithmetic on the step number."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.config.schema import TrainerConfig


@dataclass(frozen=True)
class Plan:
    """When things happen; a step is one optimizer update, counted from 1 when it is done.

    >>> plan = Plan(total_steps=10, steps_per_epoch=4, log_every=3, eval_every=4, checkpoint_every=4)
    >>> [step for step in range(1, 11) if plan.evaluates(step)]
    [4, 8, 10]
    """

    total_steps: int
    steps_per_epoch: int
    log_every: int
    eval_every: int
    checkpoint_every: int

    @classmethod
    def of(cls, trainer: TrainerConfig, steps_per_epoch: int) -> Plan:
        """Lay out a run."""
        total = (
            trainer.steps
            if trainer.epochs is None
            else max(1, round(trainer.epochs * steps_per_epoch))
        )
        assert total is not None  # the config check sees to it
        eval_every = trainer.eval_every or steps_per_epoch
        return cls(
            total,
            steps_per_epoch,
            trainer.log_every,
            eval_every,
            trainer.checkpoint_every or eval_every,
        )

    def epoch(self, step: int) -> float:
        """How many epochs are done after ``step``."""
        return round(step / self.steps_per_epoch, 4)

    def logs(self, step: int) -> bool:
        return step % self.log_every == 0 or step == self.total_steps

    def evaluates(self, step: int) -> bool:
        return step % self.eval_every == 0 or step == self.total_steps

    def saves(self, step: int) -> bool:
        return step % self.checkpoint_every == 0 or step == self.total_steps

    def call(self, step: int, steps_per_call: int) -> int:
        """How many steps the compiled call makes that comes after ``step``: 1 or ``steps_per_call``.

        Several steps in one call differ from single ones in the last bit, so this looks at nothing but the step: calls start
        anew at each step at which something happens, and single steps lead up to the next such.

        >>> plan = Plan(20, 100, log_every=10, eval_every=100, checkpoint_every=100)
        >>> [step for step in range(20) if plan.call(step, 4) == 4]
        [0, 4, 10, 14]
        """
        rhythm = (self.log_every, self.eval_every, self.checkpoint_every)
        since = max(step // every * every for every in rhythm)
        until = min(self.total_steps, *(step // every * every + every for every in rhythm))
        whole = (step - since) % steps_per_call == 0 and step + steps_per_call <= until
        return steps_per_call if whole else 1

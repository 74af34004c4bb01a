"""``nnxtrain check``: look a run over before it is started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnxtrain.cli.arguments import Command, argument, flag, rest
from nnxtrain.cli.byte_size import byte_size
from nnxtrain.cli.packages import open_packages
from nnxtrain.errors import InputError, RunError

if TYPE_CHECKING:
    from nnxtrain.training.check import Estimate
    from nnxtrain.training.session import Session

Row = tuple[str, str]


@dataclass(frozen=True)
class Check(Command):
    """Look over what `nnxtrain fit` would do with the same overrides, and leave nothing behind.

    The configuration, the data, the model's shapes, parameters, memory and FLOPs; then one
    step is made. With overfit=N, N steps on one batch show that the model can learn at all.

    examples:
      nnxtrain check config=lenet_cifar5
      nnxtrain check model=resnet18 --shapes            compile and run nothing
      nnxtrain check config=lenet_shapes5 overfit=100
    """

    overrides: tuple[str, ...] = rest("key=value or group=option, as for fit", metavar="OVERRIDE")
    overfit: str | None = argument("train so many steps on one batch", metavar="STEPS")
    shapes: bool = flag("trace by shapes alone: compile and run nothing")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        steps = self._steps()
        open_packages(self.package)
        from nnxtrain import api

        config = api.checked(self.overrides, config_dirs=self.config_dir, packages=self.package)
        _show("config", f"{config.name}: keys, types, ranges and targets are right")
        from nnxtrain.training.check import estimate, one_step, overfit
        from nnxtrain.training.run_summary import duration
        from nnxtrain.training.session import Session

        session = Session.open(config, packages=self.package)
        for row in _data(session):
            _show(*row)
        for row in _cost(session, estimate(session, compiled=not self.shapes)):
            _show(*row)
        if not self.shapes:
            trial = one_step(session)
            _show(
                "one step",
                f"loss {trial.losses[0]:.4g}, {trial.first_seconds:.1f} s with compiling",
            )
        if steps:
            trial = overfit(session, steps)
            first, last = trial.losses[0], trial.losses[-1]
            _show("overfit", f"one batch, {steps} steps: loss {first:.4g} to {last:.4g}")
            if trial.step_seconds:
                total = trial.step_seconds * session.plan.total_steps
                _show("time", f"{trial.step_seconds:.3g} s a step; {duration(total)} for all steps")
            if not last < first:
                raise RunError(
                    "the loss of one batch did not fall: look at the learning rate, the loss and the labels"
                )
        return 0

    def _steps(self) -> int:
        if self.overfit is None:
            return 0
        if not self.overfit.isdecimal() or int(self.overfit) < 2:
            raise InputError(f"overfit={self.overfit}: expected a number of steps, 2 or more")
        return int(self.overfit)


def _data(session: Session) -> Iterator[Row]:
    spec, plan = session.spec, session.plan
    sizes = ", ".join(
        f"{size:,} {'training' if name == 'train' else name}"
        for name, size in session.sizes.items()
    )
    classes = f"; {spec.num_classes} classes" if spec.num_classes else ""
    shape = "x".join(map(str, spec.input_shape))
    yield "data", f"{sizes} {spec.unit}; {spec.input_dtype} {shape}{classes}"
    placed = (
        "on the device" if session.placed.train is not session.splits.train else "from the host"
    )
    size = session.config.trainer.batch_size
    yield "batches", f"{size} {spec.unit}, {placed}; {plan.steps_per_epoch:,} steps an epoch"
    yield "length", f"{plan.total_steps:,} steps, {plan.epoch(plan.total_steps):g} epochs"


def _cost(session: Session, found: Estimate) -> Iterator[Row]:
    trained, other = found.parameters
    frozen = f", {other:,} frozen" if other else ""
    yield "model", f"{session.config.model['_target_']}: {trained:,} parameters trained{frozen}"
    held = ", ".join(f"{name} {byte_size(count)}" for name, count in found.state.items())
    data = f", data {byte_size(found.data)}" if found.data else ""
    step = "" if found.temporary is None else f", step {byte_size(found.temporary)}"
    total = sum(found.state.values()) + found.data + (found.temporary or 0)
    yield "memory", f"{byte_size(total)}: {held}{data}{step}"
    if found.step_flops:
        size = session.config.trainer.batch_size
        each = found.step_flops / size
        yield "FLOPs", f"{found.step_flops:.3g} a step, {each:.3g} for each of its {size} examples"


def _show(name: str, text: str) -> None:
    print(f"{name:<9}{text}", flush=True)

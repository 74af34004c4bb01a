"""``nnxtrain check``: look a run over before it is started."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnxtrain.cli.arguments import Command, argument, flag, rest
from nnxtrain.cli.byte_size import byte_size
from nnxtrain.cli.packages import open_packages
from nnxtrain.cli.table import print_table
from nnxtrain.cli.whole_number import whole_number
from nnxtrain.errors import InputError, RunError

if TYPE_CHECKING:
    from nnxtrain.training.check import Estimate, Trial
    from nnxtrain.training.session import Session

Row = tuple[str, str, Any]  # name, text for a reader, value for --json


@dataclass(frozen=True)
class Check(Command):
    """Look over what `nnxtrain fit` would do with the same overrides, and leave nothing behind.

    The configuration, the data, the model's shapes, parameters, memory and FLOPs; then one
    step is made. With overfit=N, N steps on one batch show that the model can learn at all.
    Over several devices also which part of each parameter a device holds; --devices N plans
    for as many, which need not be here.

    examples:
      nnxtrain check config=lenet_cifar5
      nnxtrain check model=resnet18 --shapes            compile and run nothing
      nnxtrain check config=lenet_shapes5 overfit=100
      nnxtrain check config=transformer_char model=gpt2_small mesh=fsdp --devices 32
    """

    overrides: tuple[str, ...] = rest("key=value or group=option, as for fit", metavar="OVERRIDE")
    overfit: str | None = argument("train so many steps on one batch", metavar="STEPS")
    shapes: bool = flag("trace by shapes alone: compile and run nothing")
    devices: str | None = flag("plan for so many; compile and run nothing", None, metavar="N")
    json: bool = flag("print one JSON object")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        steps = self._steps()
        devices = None if self.devices is None else whole_number("--devices", self.devices, 1)
        trying = not self.shapes and devices is None
        if steps and not trying:
            raise InputError("overfit trains; leave out --shapes and --devices")
        report: dict[str, Any] = {}

        def show(rows: Iterator[Row]) -> None:
            for name, text, value in rows:
                report[name.lower().replace(" ", "_")] = value
                if not self.json:
                    print(f"{name:<9}{text}", flush=True)

        open_packages(self.package)
        from nnxtrain import api

        config = api.checked(self.overrides, config_dirs=self.config_dir, packages=self.package)
        right = f"{config.name}: keys, types, ranges and targets are right"
        show(iter([("config", right, config.name)]))
        from nnxtrain.training.check import estimate, one_step, overfit
        from nnxtrain.training.session import Session

        session = Session.open(config, packages=self.package, devices=devices)
        show(_data(session))
        if not session.layout.is_single:
            show(_mesh(session))
            report["placement"] = _placement(session, table=not self.json)
        show(_cost(session, estimate(session, compiled=trying)))
        if trying:
            show(_step(one_step(session)))
        learnt = True
        if steps:
            trial = overfit(session, steps)
            show(_overfit(session, trial))
            learnt = trial.losses[-1] < trial.losses[0]
        if self.json:
            print(json.dumps(report))
        if not learnt:
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
    yield "data", f"{sizes} {spec.unit}; {spec.input_dtype} {shape}{classes}", dict(session.sizes)
    on_device = session.placed.train is not session.splits.train
    placed = "on the device" if on_device else "from the host"
    size, steps = session.config.trainer.batch_size, plan.steps_per_epoch
    told = {"size": size, "on_device": on_device, "steps_per_epoch": steps}
    yield "batches", f"{size} {spec.unit}, {placed}; {steps:,} steps an epoch", told
    steps, epochs = plan.total_steps, plan.epoch(plan.total_steps)
    yield "length", f"{steps:,} steps, {epochs:g} epochs", {"steps": steps, "epochs": epochs}


def _mesh(session: Session) -> Iterator[Row]:
    mesh = session.layout.mesh
    axes = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items() if size > 1)
    yield "mesh", f"{mesh.size} devices: {axes}", dict(mesh.shape)


def _placement(session: Session, *, table: bool) -> list[dict[str, Any]]:
    """A device's part of each parameter, printed as a table if asked for."""
    from nnxtrain.parallel.parts import parts

    found = parts(session.abstract().model)
    if table:
        rows = [
            (
                f"{part.path} x {part.count}" if part.count > 1 else part.path,
                "x".join(map(str, part.shape)),
                _cut(part.spec),
                "x".join(map(str, part.part)),
                byte_size(part.bytes),
            )
            for part in found
        ]
        print_table(["parameter", "shape", "cut by", "part", "on each device"], rows)
    return [dataclasses.asdict(part) for part in found]


def _cut(spec: list[Any]) -> str:
    """As ``spec`` of a rule is written."""
    if not spec:
        return "whole"
    return f"[{', '.join('null' if entry is None else str(entry) for entry in spec)}]"


def _cost(session: Session, found: Estimate) -> Iterator[Row]:
    trained, other = found.parameters
    frozen = f", {other:,} frozen" if other else ""
    text = f"{session.config.model['_target_']}: {trained:,} parameters trained{frozen}"
    yield "model", text, {"trained": trained, "frozen": other}
    held = ", ".join(f"{name} {byte_size(count)}" for name, count in found.state.items())
    data = f", data {byte_size(found.data)}" if found.data else ""
    step = "" if found.temporary is None else f", step {byte_size(found.temporary)}"
    total = sum(found.state.values()) + found.data + (found.temporary or 0)
    each = "" if session.layout.is_single else " on each device"
    told = {**found.state, "data": found.data, "step": found.temporary}
    yield "memory", f"{byte_size(total)}{each}: {held}{data}{step}", told
    if found.step_flops:
        size = session.config.trainer.batch_size
        one = found.step_flops / size
        text = f"{found.step_flops:.3g} a step, {one:.3g} for each of its {size} examples"
        yield "FLOPs", text, found.step_flops


def _step(trial: Trial) -> Iterator[Row]:
    loss, seconds = trial.losses[0], trial.first_seconds
    told = {"loss": loss, "seconds": seconds}
    yield "one step", f"loss {loss:.4g}, {seconds:.1f} s with compiling", told


def _overfit(session: Session, trial: Trial) -> Iterator[Row]:
    from nnxtrain.training.run_summary import duration

    steps, first, last = len(trial.losses), trial.losses[0], trial.losses[-1]
    text = f"one batch, {steps} steps: loss {first:.4g} to {last:.4g}"
    yield "overfit", text, {"steps": steps, "first": first, "last": last}
    if trial.step_seconds:
        total = trial.step_seconds * session.plan.total_steps
        text = f"{trial.step_seconds:.3g} s a step; {duration(total)} for all steps"
        yield "time", text, {"step_seconds": trial.step_seconds, "seconds": total}

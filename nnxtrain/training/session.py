"""From a config to the live pieces of a run: data, task, state, compiled steps."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend.core import ClosedJaxpr

from nnxtrain import nnx
from nnxtrain.config.build import is_told, resolve
from nnxtrain.config.schema import Config, MeshConfig, OnNonfinite, Precision
from nnxtrain.data.placement import place, resident
from nnxtrain.data.sampler import steps_per_epoch
from nnxtrain.data.source import Batch, Source, Splits
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError, NnxtrainError
from nnxtrain.optim import Optimization, build_optimizer, build_rates
from nnxtrain.parallel.layout import Layout
from nnxtrain.parallel.mesh import make_mesh
from nnxtrain.training.data_card import DataCard
from nnxtrain.training.dispatch import dispatch_as_told
from nnxtrain.training.evaluation import evaluate_source
from nnxtrain.training.initial import Start, find_start
from nnxtrain.training.monitor import Monitor
from nnxtrain.training.plan import Plan
from nnxtrain.training.state import TrainState, abstract, arrays_of, put_arrays
from nnxtrain.training.step import Augment, make_eval_step, make_train_step, training_batch
from nnxtrain.training.steps_per_call import SHORT, choose, has_convolution, seconds_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """What training and evaluation work with.

    Attributes:
      spec: what the examples are.
      sizes: how many of them there are in each split.
      load: loads them, once.
      rates: learning rates by step, counted in updates; that of each group with one of its own too.
      build: makes a fresh state.
    """

    config: Config
    spec: Spec
    sizes: Mapping[str, int]
    load: Callable[[], Splits]
    plan: Plan
    task: Any
    augment: Augment
    monitor: Monitor
    rates: dict[str, optax.Schedule]
    build: Callable[[], TrainState]
    packages: Sequence[str] = ()
    devices: Sequence[jax.Device] | int | None = None

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        packages: Sequence[str] = (),
        data: DataCard | None = None,
        devices: Sequence[jax.Device] | int | None = None,
    ) -> Session:
        """Lay out the run, on all devices unless some are given, or for a number of them; nothing is computed yet.

        The data is loaded; where ``data`` tells of it already, not before its examples are asked for. If they are others by
        then, that is logged.

        Raises InputError for a config that does not fit the data.
        """
        dispatch_as_told(os.environ)
        trainer = config.trainer

        @functools.cache
        def load() -> Splits:
            splits: Splits = resolve(config.data, packages=packages).load()
            if data and (changed := data.changed(DataCard.of(splits))):
                log.warning("the data has changed since the run began: %s", ", ".join(changed))
            return splits

        spec = data.spec if data else load().train.spec
        sizes = data.sizes if data else load().sizes
        plan = Plan.of(trainer, steps_per_epoch(sizes["train"], trainer.batch_size))
        task = resolve(config.task, packages=packages, spec=spec)
        augment = resolve(config.augment, packages=packages, spec=spec)
        known = list(nnx.eval_shape(task.metrics)._metrics())
        monitor = Monitor.of(config, packages)
        if monitor.metric not in known:
            raise InputError(
                f"trainer.monitor: the task has no metric {monitor.metric!r}; it has {', '.join(known)}"
            )
        values = spec.runtime_values() | _dtype(config, packages)
        length = {"total_steps": plan.total_steps, "steps_per_epoch": plan.steps_per_epoch}
        rates = build_rates(config.optim, **length, packages=packages)
        optimizations: list[Optimization] = []  # the first, for all: another tx compiles anew

        def build() -> TrainState:
            model = resolve(
                config.model,
                packages=packages,
                rngs=nnx.Rngs(config.seed),
                **values,
            )
            decide(model)
            if not optimizations:
                made = build_optimizer(config.optim, model, **length, packages=packages)
                optimizations.append(made)
            (optimization,) = optimizations
            return TrainState(
                model,
                optimization.tx,
                task.metrics(),
                wrt=optimization.wrt,
                ema_decay=trainer.ema,
                loss_scaling=trainer.precision is Precision.float16,
            )

        return cls(
            config=config,
            spec=spec,
            sizes=sizes,
            load=load,
            plan=plan,
            task=task,
            augment=augment,
            monitor=monitor,
            rates=rates,
            build=build,
            packages=packages,
            devices=devices,
        )

    @property
    def splits(self) -> Splits:
        """The examples, on the host."""
        return self.load()

    @cached_property
    def placed(self) -> Splits:
        """The same as training and evaluation read them, small sets from the device."""
        layout = self.layout
        sharding = None if layout.is_single else layout.replicated
        return place(self.splits, self.config.trainer.placement, sharding)

    @cached_property
    def shapes(self) -> TrainState:
        """The state by shapes alone; only to be looked at."""
        return abstract(self.build)

    @cached_property
    def layout(self) -> Layout:
        """Where the state's arrays and the batches lie.

        Raises InputError for a mesh or rules that do not fit the devices, the model or the batch.
        """
        trainer, rules = self.config.trainer, self.config.mesh.rules
        mesh = make_mesh(self.config.mesh, self.devices)
        if mesh.size == 1 and not rules:
            return Layout(mesh, {}, {})
        layout = Layout.of(mesh, rules, self.shapes.model)
        layout.check_rows("trainer.batch_size", trainer.batch_size, trainer.accumulate)
        return layout

    def on_one_device(self) -> Session:
        """The same run without its mesh."""
        config = dataclasses.replace(self.config, mesh=MeshConfig())
        return dataclasses.replace(self, config=config, devices=jax.devices()[:1])

    def abstract(self) -> TrainState:
        """Return a state of shapes that say where each array belongs; :func:`put_arrays` fills it."""
        state = nnx.clone(self.shapes)
        if not self.layout.is_single:
            put_arrays(state, self.layout.place(arrays_of(state)))
        return state

    def create(self) -> TrainState:
        """Return a fresh state. Over several devices each array is made in its parts, never whole."""
        if self.layout.is_single:
            return self.build()
        state = self.abstract()
        put_arrays(state, self.creation(arrays_of(state))())
        return state

    def creation(self, like: dict[str, Any]) -> Any:
        """The compiled function that makes the arrays of a fresh state, where the shapes ``like`` have them."""
        shardings = jax.tree.map(lambda x: x.sharding, like)
        # It runs once: on a CPU, making it fast takes six times as long as compiling it.
        options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        return jax.jit(
            lambda: arrays_of(self.build()), out_shardings=shardings, compiler_options=options
        )

    @cached_property
    def start(self) -> Start | None:
        """The trained weights that a new run begins with, where the config names such.

        Raises InputError if they do not fit.
        """
        init = self.config.init
        if init.run is None and init.file is None:
            return None
        return find_start(init, self.shapes.model, packages=self.packages)

    def look_over(self) -> None:
        """Build the state and run the model on a batch by shapes alone, and look at the weights it is to begin with.

        Raises InputError for a model, task, augmentation or placement that does not work on this data.
        """
        _ = self.layout, self.placed
        try:
            _ = self.forward
        except NnxtrainError:
            raise
        except Exception as error:  # whatever a user's model raises
            first = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"{self.config.model['_target_']} does not work on a batch of this data: {type(error).__name__}: {first}"
            ) from error
        _ = self.start

    @cached_property
    def forward(self) -> ClosedJaxpr:
        """The program of the model on a training batch, for its shapes."""
        rows = np.arange(self.config.trainer.batch_size)
        arrays = self.splits.train.batch(rows)
        batch = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in arrays.items()}

        def outputs(model: nnx.Module, batch: Batch) -> Any:
            return self.task.outputs(model, self.augment(jax.random.key(0), batch))

        return nnx.make_jaxpr(outputs)(self.shapes.model, batch)

    @cached_property
    def steps_per_call(self) -> int:
        """How many steps one compiled call makes: as configured, or what suits the size of a step."""
        configured = self.config.trainer.steps_per_call
        if configured is not None:
            return configured
        if self.plan.total_steps < SHORT:
            return 1
        platform = jax.default_backend()
        parameters = sum(x.size for x in jax.tree.leaves(nnx.state(self.shapes.model, nnx.Param)))
        seconds = seconds_of(self.forward, parameters, platform)
        return choose(self.plan, seconds=seconds, loops=not self._unrolls)

    @property
    def _unrolls(self) -> bool:
        """XLA's loops on a CPU are slow with a convolution in them."""
        return jax.default_backend() == "cpu" and has_convolution(self.forward, "cpu")

    @cached_property
    def train_steps(self) -> dict[int, Any]:
        """The compiled training step for each number of steps that one call makes."""
        trainer, several = self.config.trainer, self.steps_per_call
        unroll = several > 1 and self._unrolls
        return {
            count: make_train_step(
                self.task,
                augment=self.augment,
                seed=self.config.seed,
                parts=trainer.accumulate,
                skip=trainer.on_nonfinite is OnNonfinite.skip,
                steps_per_call=count,
                unroll=unroll,
                layout=self.layout,
            )
            for count in (1, several)
        }

    def training_batch(self, step: int, batch: Batch) -> Batch:
        """A batch as the task sees it in training, after ``step`` steps."""
        arrays = resident(self.placed.train)
        return training_batch(batch, arrays, step, augment=self.augment, seed=self.config.seed)

    @cached_property
    def eval_step(self) -> Callable:
        return make_eval_step(self.task, self.layout)

    def evaluate(
        self, model: nnx.Module, split: str, *, stop: Callable[[], object] = bool
    ) -> dict[str, float]:
        """Metrics of a model on ``train``, ``validation`` or ``test``.

        Raises EvaluationStopped when ``stop()``, which is asked after each batch, is true.
        """
        source: Source = getattr(self.placed, split)
        size = self.eval_batch_size(source)
        return evaluate_source(
            self.eval_step,
            self.task,
            model,
            source,
            batch_size=size,
            layout=self.layout,
            stop=stop,
        )

    def eval_batch_size(self, source: Sized) -> int:
        """Examples in a batch of an evaluation: no more than there are, but a share for each device."""
        size, parts = min(self.config.trainer.eval_batch_size, len(source)), self.layout.row_parts
        return -(-size // parts) * parts


def decide(model: nnx.Module) -> None:
    """Layers that were left undecided between training and evaluation train; what their author decided stays."""
    for _, module in nnx.iter_modules(model):
        for mode in ("deterministic", "use_running_average"):
            if getattr(module, mode, False) is None:
                setattr(module, mode, False)


def _dtype(config: Config, packages: Sequence[str]) -> dict[str, Any]:
    """What is injected into the model for ``trainer.precision``."""
    precision = config.trainer.precision
    if precision is Precision.float32:
        return {}
    if not is_told(config.model, "dtype", packages):
        raise InputError(
            f"trainer.precision={precision}: {config.model['_target_']} has no argument 'dtype' (what it computes in)"
        )
    return {"dtype": jnp.dtype(precision)}

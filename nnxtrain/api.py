"""The commands as Python functions. They raise the errors that the command line prints."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain.errors import InputError


def fit(
    overrides: Sequence[str] = (),
    *,
    config_dirs: Sequence[str | Path] = (),
    packages: Sequence[str] = (),
    command: Sequence[str] | None = None,
    **options: Any,
) -> Any:
    """Train, and return the run with its ``directory`` (Path) and ``results`` (dict).

    Args:
        overrides: as on the command line, e.g. ``["config=lenet_cifar5", "trainer.epochs=3"]``.
            ``run=DIR`` among them resumes that run.
        config_dirs: folders with configurations, searched before all others.
        packages: importable packages of the user that ``_target_`` may name.
        command: what the run directory records as the command; by default this call.
        options: ``directory=PATH`` for the run, instead of one under ``runs_dir`` with a name of its own;
            ``is_poor=FUNCTION`` of step and score, that says at each evaluation whether to give the run up.

    Raises:
        InputError: a configuration or a run directory that cannot be used; nothing was started.
        RunError: training failed.
        Interrupted: Ctrl-C, or a scheduler's signal; what was done is saved.
        Pruned: ``is_poor`` said so; what was done is saved.
    """
    directory, rest = take("run", overrides)
    if directory is not None:
        run_dir = find_run(directory)
        return _training().resume(run_dir, overrides=rest, packages=tuple(packages), **options)

    rest = beginning_from(rest)
    config = checked(rest, config_dirs=config_dirs, packages=packages)
    if "directory" not in options and os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        from nnxtrain.training.requeue import go_on

        if run := go_on(config.runs_dir, rest, packages=tuple(packages), **options):
            return run
    return _training().fit(
        config,
        command=list(command) if command is not None else ["nnxtrain.fit", *rest],
        overrides=rest,
        packages=tuple(packages),
        **options,
    )


def run_sweep(
    overrides: Sequence[str],
    *,
    file: str | Path | None = None,
    config_dirs: Sequence[str | Path] = (),
    packages: Sequence[str] = (),
    wait: bool = True,
) -> dict[str, Any]:
    """Start a sweep, wait for its trials, and return their ranking.

    Args:
        overrides: as for ``nnxtrain sweep``, e.g. ``["optim.learning_rate=1e-4,1e-3", "seed=1,2", "sweep.parallel=2"]``.
        file: a YAML file with keys of the sweep and ``overrides``.
        config_dirs, packages: as in :func:`fit`.
        wait: False returns at once, with the trials as they stand.

    Returns:
        What ``nnxtrain sweep table --json`` prints: ``sweep`` (its directory), ``monitor``, ``mode``, ``keys`` (that differ)
        and ``groups``, the best first, each with ``values``, ``score`` (mean, std, count), ``test``, ``checkpoint`` and
        ``trials``.

    Raises:
        InputError: a trial that cannot run; none was started.
    """
    import time

    from nnxtrain.sweep.launchers import make_launcher
    from nnxtrain.sweep.results import rank, results_of
    from nnxtrain.sweep.start import start
    from nnxtrain.sweep.states import OPEN, trials_of
    from nnxtrain.sweep.table import content

    sweep = start(
        overrides,
        file=None if file is None else Path(file),
        config_dirs=config_dirs,
        packages=packages,
        command=["nnxtrain.run_sweep", *overrides],
    )
    pause = make_launcher(sweep.spec).pause
    while wait and any(trial.state in OPEN for trial in trials_of(sweep)):
        time.sleep(pause)
    return content(rank(results_of(sweep)), sweep.path)


def evaluate(
    run: str | Path | None = None,
    *,
    split: str = "test",
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
    runs_dir: str | Path = "runs",
    details: bool = False,
) -> dict[str, Any]:
    """Evaluate a run and return its metrics.

    Args:
        run: a run directory; None takes the newest under ``runs_dir``.
        split: ``"test"``, ``"validation"`` or ``"train"``.
        checkpoint: ``"best"`` by the monitored validation metric, ``"last"``, or a step.
        packages: importable packages of the user that the run's ``_target_`` may name.
        runs_dir: where to look for the newest run.
        details: add ``details``: the confusion matrix and each class's scores, or each target's errors.

    Raises:
        InputError: no such run, split or checkpoint.
    """
    directory = find_run(run, runs_dir)
    from nnxtrain.training.evaluate import evaluate as evaluate_run

    return evaluate_run(
        directory,
        split=split,
        checkpoint=checkpoint,
        packages=tuple(packages),
        details=details,
    )


def predict(
    run: str | Path | None = None,
    *,
    split: str | None = None,
    files: Sequence[str | Path] = (),
    folder: str | Path | None = None,
    inputs: Any = None,
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
    runs_dir: str | Path = "runs",
) -> Any:
    """Return a run's predictions, with ``arrays`` by name, ``columns()`` and ``rows()``.

    Args:
        run: a run directory; None takes the newest under ``runs_dir``.
        split: predict the examples of ``"test"`` (the default), ``"validation"`` or ``"train"``;
        files: or those in files: images, ``.npy`` arrays, tables where the run was trained on one;
        folder: or the images in a folder;
        inputs: or those of an array [N, ...] in the form of the run's data, images as bytes.
        checkpoint: ``"best"`` by the monitored validation metric, ``"last"``, or a step.
        packages: importable packages of the user that the run's ``_target_`` may name.
        runs_dir: where to look for the newest run.

    Raises:
        InputError: no such run, split, checkpoint or file, or content that does not fit the data.
    """
    directory = find_run(run, runs_dir)
    from nnxtrain.training.predict import predict as predict_with_run

    return predict_with_run(
        directory,
        split=split,
        files=[str(file) for file in files],
        folder=None if folder is None else str(folder),
        inputs=inputs,
        checkpoint=checkpoint,
        packages=tuple(packages),
    )


def generate(
    run: str | Path | None = None,
    prompt: str = "\n",
    *,
    length: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    num: int = 1,
    seed: int = 0,
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
    runs_dir: str | Path = "runs",
) -> dict[str, Any]:
    """Let a run's language model continue a prompt.

    Args:
        run: a run directory; None takes the newest under ``runs_dir``.
        prompt: what the text begins with.
        length: how many tokens to add.
        temperature: logits are divided by it; 0 always takes the most probable token.
        top_k: draw from so many of the most probable tokens; None: from all.
        top_p: draw from the most probable tokens that together have this probability; None: from all.
        num: how many samples.
        seed: decides what is drawn.
        checkpoint: as in :func:`evaluate`.
        packages: importable packages of the user that the run's ``_target_`` may name.
        runs_dir: where to look for the newest run.

    Returns:
        ``samples``, a list of texts without the prompt, ``prompt`` and the checkpoint's ``step``.

    Raises:
        InputError: no such run, no language model, a number out of its range, an unknown character.
    """
    directory = find_run(run, runs_dir)
    from nnxtrain.generation.generate import generate as generate_text
    from nnxtrain.generation.sampling import Sampling

    return generate_text(
        directory,
        prompt=prompt,
        length=length,
        sampling=Sampling(temperature, top_k, top_p),
        num=num,
        seed=seed,
        checkpoint=checkpoint,
        packages=tuple(packages),
    )


def export(
    run: str | Path | None = None,
    out: str | Path | None = None,
    *,
    checkpoint: str | int = "best",
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    weights: str = "inside",
    batch: int | None = None,
    overwrite: bool = False,
    packages: Sequence[str] = (),
    runs_dir: str | Path = "runs",
) -> Any:
    """Write a run's model as a folder that JAX loads without nnxtrain; return its ``path``, ``comparison`` and more.

    Args:
        run: a run directory; None takes the newest under ``runs_dir``.
        out: the folder; by default ``export`` in the run's directory.
        checkpoint: ``"best"`` by the monitored validation metric, ``"last"``, or a step.
        platforms: what to lower for: some of cpu, cuda, rocm, tpu; they need not be here.
        weights: ``"inside"`` the program, or ``"separate"``: an argument of it.
        batch: a fixed batch size, for models that need one.
        overwrite: whether an earlier export there is replaced.
        packages: importable packages of the user that the run's ``_target_`` may name.
        runs_dir: where to look for the newest run.

    Raises:
        InputError: no such run or checkpoint, a folder that holds something else, a model that cannot be exported.
        RunError: the reloaded program differs from the model; nothing is published.
    """
    directory = find_run(run, runs_dir)
    from nnxtrain.exporting.export import export as export_run

    return export_run(
        directory,
        None if out is None else Path(out).expanduser(),
        checkpoint=checkpoint,
        platforms=tuple(platforms),
        weights=weights,
        batch=batch,
        overwrite=overwrite,
        packages=tuple(packages),
    )


def find_run(run: str | Path | None, runs_dir: str | Path = "runs") -> Path:
    """Return the directory of a run; for None, of the newest one under ``runs_dir``.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    from nnxtrain.training.run_directory import RunDirectory

    found = RunDirectory.newest(runs_dir) if run is None else RunDirectory.open(run)
    return found.path


def checked(
    overrides: Sequence[str] = (),
    *,
    config_dirs: Sequence[str | Path] = (),
    packages: Sequence[str] = (),
) -> Any:
    """Compose a configuration, look it over and return it; arguments and errors as in :func:`fit`."""
    from nnxtrain.config.checks import check
    from nnxtrain.config.composition import compose_with_origins

    composition = compose_with_origins(beginning_from(overrides), config_dirs)
    check(composition.config, packages=packages, where=composition.where)
    return composition.config


def beginning_from(overrides: Sequence[str]) -> list[str]:
    """Return overrides with ``from=DIR`` written out: those of that run, then the given ones, and ``init.run=DIR``.

    Left out are what that run itself began with (its own ``init``), as its weights have it, and what it set in a section
    that is chosen anew: ``data=cifar10`` drops its ``data.name=...``.

    Raises:
        InputError: there is no such run.
    """
    directory, rest = take("from", overrides)
    if directory is None:
        return rest
    from nnxtrain.training.run_directory import RunDirectory

    run = RunDirectory.open(directory)
    replaced = ["init", *(text.lstrip("+~").partition("=")[0] for text in rest)]
    own = [
        text
        for text in run.origin["overrides"]
        if not any(_within(text.lstrip("+~").partition("=")[0], key) for key in replaced)
    ]
    return [*own, *rest, f"init.run='{run.path.absolute()}'"]


def _within(key: str, section: str) -> bool:
    """Whether a key is that of a section (or value), or of something in it."""
    return key == section or key.startswith((f"{section}.", f"{section}/"))


def _training() -> Any:
    return importlib.import_module("nnxtrain.training.fit")  # JAX and all that


def take(name: str, overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split ``name=VALUE`` off a list of overrides: its last value or None, and the others.

    >>> take("run", ["run=runs/a", "trainer.epochs=3"])
    ('runs/a', ['trainer.epochs=3'])
    """
    values = [text.partition("=")[2] for text in overrides if text.startswith(f"{name}=")]
    if values and not values[-1]:
        raise InputError(f"{name}= is empty; give {name}=VALUE")
    rest = [text for text in overrides if not text.startswith(f"{name}=")]
    return (values[-1] if values else None), rest

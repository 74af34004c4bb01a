"""All that a run's metrics are written to: ``metrics.jsonl``, and then the loggers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from nnxtrain.config.build import resolve
from nnxtrain.config.composition import to_container
from nnxtrain.config.schema import Config
from nnxtrain.errors import Interrupted, Pruned, RunError
from nnxtrain.loggers import CsvFile, Line, Logger
from nnxtrain.training.metrics_log import MetricsLog, read_metrics
from nnxtrain.training.run_directory import RunDirectory


def build_loggers(config: Config, packages: Sequence[str] = ()) -> dict[str, Logger]:
    """Return the loggers by name: ``metrics.csv``, which is always written, and those of the config.

    Raises InputError where one lacks its package.
    """
    return {"csv": CsvFile(), **resolve(config.logger, packages=packages)}


class RunLog:
    """``metrics.jsonl``, which decides what was measured, and the loggers, which follow it.

    A logger that does not open stops the run. One that fails later on is left out from then on, which ``on_failure`` is
    told: a server that goes away is no reason to lose the training.
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: Config,
        loggers: Mapping[str, Logger],
        on_failure: Callable[[str], None],
    ):
        self._directory, self._config, self._on_failure = directory, config, on_failure
        self._loggers = dict(loggers)
        self._opened: dict[str, Logger] = {}
        self._log = MetricsLog(directory.metrics_path)

    def begin(self, position: int, *, step: int) -> None:
        """Cut ``metrics.jsonl`` back (see :meth:`MetricsLog.truncate`) and open the loggers at what is left.

        Raises RunError if a logger does not open.
        """
        self._log.truncate(position, step=step)
        history = [Line.of(record) for record in read_metrics(self._log.path)]
        config = to_container(self._config)
        for name, logger in self._loggers.items():
            try:
                logger.open(self._directory.path, config, history)
            except Exception as error:
                raise RunError(f"the logger {name} does not open: {_first_line(error)}") from error
            self._opened[name] = logger

    def write(self, *, step: int, epoch: float, split: str, metrics: Mapping[str, Any]) -> None:
        """Append one line. Raises ``RunError`` if ``metrics.jsonl`` cannot be written."""
        record = self._log.write(step=step, epoch=epoch, split=split, metrics=metrics)
        line = Line.of(record)
        self._each(lambda logger: logger.log(line))

    def position(self) -> int:
        """See :meth:`MetricsLog.position`."""
        return self._log.position()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        done = error is None or isinstance(error, Pruned)
        status = "finished" if done else "interrupted" if stopped else "failed"
        self._each(lambda logger: logger.close(status))
        self._log.close()

    def _each(self, act: Callable[[Logger], None]) -> None:
        for name, logger in list(self._opened.items()):
            try:
                act(logger)
            except Exception as error:
                del self._opened[name]
                self._on_failure(
                    f"the logger {name} failed and is left out from now on; metrics.jsonl has all: {_first_line(error)}"
                )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


class NoLog(RunLog):
    """Writes nothing: the log of a process whose run another one writes to."""

    def __init__(self) -> None:
        pass

    def begin(self, position: int, *, step: int) -> None:
        pass

    def write(self, *, step: int, epoch: float, split: str, metrics: Mapping[str, Any]) -> None:
        pass

    def position(self) -> int:
        return 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

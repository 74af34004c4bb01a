"""Save and restore training state so that it survives a kill at any moment, to the bit.

Orbax writes the arrays; what counts as a checkpoint is decided here. A save is built under a hidden
name (``.saving-100``), gets its manifest (:mod:`nnxtrain.training.manifest`) and is then renamed to
``100``, so a step directory is complete from the moment it can be seen. Whatever happens to it
later, a flipped bit or a lost file, the manifest tells, and the next older one is used.

In a program of several processes all of them call ``save`` and ``restore``; process 0 writes the
manifests and removes old checkpoints.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from nnxtrain.errors import InputError, RunError
from nnxtrain.parallel.agreement import meet
from nnxtrain.storage import orbax_arrays
from nnxtrain.storage.atomic_write import sync_directory
from nnxtrain.storage.orbax_arrays import first_line
from nnxtrain.training import array_tree
from nnxtrain.training.array_tree import Tree
from nnxtrain.training.checkpoint_directory import SAVING, Checkpoint, CheckpointDirectory, remove
from nnxtrain.training.host_copies import HostCopies, is_here
from nnxtrain.training.manifest import Manifest, write_manifest

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

__all__ = ["Checkpoint", "Checkpoints"]


class Checkpoints(CheckpointDirectory):
    """The checkpoints of a run that is being trained, or restored from.

    Saving happens in the background, and its errors are raised by the next :meth:`save`,
    :meth:`wait` or :meth:`close`; older checkpoints stay. There is never more than one copy of the
    state under way: a save waits for the one before. On a CPU its memory is kept. Use it as a context manager, or call
    :meth:`close`: a process that just ends loses the save under way (and only that).

    >>> import tempfile
    >>> import jax.numpy as jnp
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Checkpoints(folder.name) as checkpoints:
    ...     _ = checkpoints.save(10, {"params": {"w": jnp.arange(3.0)}}, {"epoch": 1}, score=0.9)
    ...     newest = checkpoints.latest()
    ...     tree = checkpoints.restore(newest, {"params": {"w": jnp.zeros(3)}})
    >>> newest.step, newest.info, tree["params"]["w"].tolist()
    (10, {'epoch': 1}, [0.0, 1.0, 2.0])
    >>> folder.cleanup()
    """

    _thread: threading.Thread | None = None
    _error: RunError | None = None

    def save(
        self, step: int, tree: Tree, info: Mapping[str, Any], score: float | None = None
    ) -> bool:
        """Start to save ``tree`` as the checkpoint of ``step``, after waiting for the save before.

        Args:
          step: the number of updates made, 0 or more.
          tree: nested dicts with string keys, of jax or numpy arrays of any dtype but typed PRNG
            keys (save ``jax.random.key_data``). They are copied first, where they lie, so the
            caller may donate them, or write to them, at once.
          info: what JSON can hold; comes back as JSON gives it (a tuple as a list).
          score: what "best" compares. None and NaN are never best.

        Returns False, and does nothing, where a complete checkpoint of this step exists.
        Raises ``RunError`` if this save cannot start or the one before failed.
        """
        self.wait()
        if isinstance(self._verify(step), Manifest):
            return False
        arrays = array_tree.flatten(tree)
        contents = {
            "step": step,
            "score": None if score is None or math.isnan(score) else float(score),
            "info": json.loads(json.dumps(info)),  # a snapshot: the caller may go on writing to it
            "arrays": array_tree.specs(arrays),
        }
        saving = self.directory / f"{SAVING}{step}"
        try:
            copies = self._copied(orbax_arrays.without_empty(arrays))
            if jax.process_index() == 0:
                remove(saving)
                self._discard(self.path(step))
                saving.mkdir(parents=True)
            meet("a checkpoint can be saved")
            if jax.process_count() > 1:  # whose Orbax have to meet, in the order of the program
                orbax_arrays.start_save(self._orbax, saving / "state", copies)
                copies = {}
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failure(step, saving, error) from error
        self._thread = threading.Thread(
            target=self._finish, args=(saving, contents, copies), name="nnxtrain-checkpoint"
        )
        self._thread.start()
        return True

    def rescore(self, checkpoint: Checkpoint, info: Mapping[str, Any], score: float | None) -> None:
        """Give a checkpoint another score and other ``info``, all at once; its arrays stay.

        Raises ``RunError`` if it cannot be written.
        """
        self.wait()
        try:
            if jax.process_index() == 0:
                write_manifest(
                    checkpoint.path,
                    step=checkpoint.step,
                    score=None if score is None or math.isnan(score) else float(score),
                    info=dict(info),
                    arrays=checkpoint.arrays,
                )
                self._retain(checkpoint.step)
        except OSError as error:
            raise RunError(f"{checkpoint.path} cannot be written: {error.strerror}") from error

    def wait(self) -> None:
        """Wait for the save under way, in every process. Raises ``RunError`` if it failed."""
        saving = self._thread is not None
        self._settle()
        if saving:
            meet("a checkpoint is saved")
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Wait for the save under way and free what Orbax holds. Raises ``RunError`` as wait."""
        try:
            self.wait()
        finally:
            if "_orbax" in vars(self):
                vars(self).pop("_orbax").close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except RunError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # what went wrong first is what to report

    def restore(
        self, checkpoint: Checkpoint, like: Tree, *, partial: bool = False
    ) -> dict[str, Any]:
        """Return the saved arrays in the structure, and on the devices, of ``like``.

        Args:
          checkpoint: what ``latest``, ``best`` or ``at`` returned.
          like: nested dicts of jax arrays, or of ``jax.ShapeDtypeStruct`` with shardings (without,
            the default device is meant, uncommitted); where it has a numpy array, so has the result.
            The devices may be others, and more or fewer, than those that saved.
          partial: what ``like`` leaves out is not read; without it, every saved path must be in ``like``.

        Raises ``InputError`` unless every path, shape and dtype agree (Orbax alone would cast),
        naming the first that do not; ``RunError`` if the files cannot be read.
        """
        wanted = array_tree.flatten(like)
        saved = checkpoint.arrays
        if partial:
            saved = {path: spec for path, spec in saved.items() if path in wanted}
        differing = array_tree.differences(saved, array_tree.specs(wanted))
        if differing:
            more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise InputError(
                f"checkpoint {checkpoint.path} does not fit: {'; '.join(differing[:3])}{more}"
            )
        return array_tree.fill(like, self._restored(checkpoint, wanted))

    def arrays(self, checkpoint: Checkpoint, prefixes: tuple[str, ...]) -> dict[str, Any]:
        """Return the saved arrays whose paths begin with one of ``prefixes``, by path, on the host.

        Raises ``RunError`` if the files cannot be read.
        """
        like = {
            path: np.broadcast_to(
                np.zeros((), dtype), shape
            )  # says what to read, and takes no memory
            for path, (dtype, shape) in checkpoint.arrays.items()
            if path.startswith(prefixes)
        }
        return self._restored(checkpoint, like)

    def _restored(self, checkpoint: Checkpoint, wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            return orbax_arrays.restore(checkpoint.path / "state", wanted)
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{checkpoint.path} cannot be restored: {first_line(error)}") from error

    @functools.cached_property
    def _orbax(self) -> ocp.AsyncCheckpointer:
        return orbax_arrays.checkpointer()

    @functools.cached_property
    def _host_copies(self) -> HostCopies:
        return HostCopies()

    def _copied(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """Copies that nothing writes to, or donates, before they are saved."""
        here = {path: x for path, x in arrays.items() if is_here(x)}
        others = {path: x for path, x in arrays.items() if path not in here}
        return self._host_copies.of(here) | array_tree.copy(others)

    def _settle(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _finish(self, saving: Path, contents: dict[str, Any], copies: dict[str, Any]) -> None:
        """In the background: let Orbax write, what it has not begun with too, then turn the save into a checkpoint."""
        step = contents["step"]
        try:
            orbax = self._orbax  # imported before the thread gives way: others may wait for imports
            _give_way()
            orbax_arrays.start_save(orbax, saving / "state", copies)
            orbax.wait_until_finished()
            if jax.process_index() == 0:
                write_manifest(saving, **contents)
                saving.rename(self.path(step))
                sync_directory(self.directory)
                self._retain(step)
        except BaseException as error:  # a thread has nobody to raise to
            self._error = self._failure(step, saving, error)

    def _failure(self, step: int, saving: Path, error: BaseException) -> RunError:
        shutil.rmtree(saving, ignore_errors=True)
        reason = first_line(error)
        if "ENOSPC" in str(error) or "No space left" in str(error):
            reason = "no space left on the disk; free some, then resume the run"
        failure = RunError(f"checkpoint {self.path(step)} was not saved: {reason}")
        failure.__cause__ = error
        return failure


def _give_way() -> None:
    """Let the training step have the cores: this thread, and those that Orbax starts in it, get what is left."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)

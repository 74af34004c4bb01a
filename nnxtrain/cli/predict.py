"""``nnxtrain predict``: what a run's model says of examples."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.packages import open_packages
from nnxtrain.errors import InputError, RunError


@dataclass(frozen=True)
class Predict(Command):
    """Write a run's predictions: of a split, of files, or of the images in a folder.

    A row for each example: the class and its probability, or the predicted numbers; where the
    truth is known that too. Files are images, .npy arrays, or tables where the run was trained
    on one; images are resized and standardised as the run's data was.

    examples:
      nnxtrain predict out=predictions.csv                the newest run, the test split
      nnxtrain predict run=runs/DIR files=cat.jpg,dog.jpg
      nnxtrain predict run=runs/DIR folder=photos out=photos.jsonl --probabilities
    """

    run: str | None = argument("a run directory (default: the newest)", metavar="DIR")
    split: str | None = argument(
        "test, validation or train (default: test)",
        metavar="SPLIT",
        choices=("test", "validation", "train"),
    )
    files: str | None = argument(
        "files, by commas, or a pattern such as 'new/*.png'", metavar="FILES"
    )
    folder: str | None = argument("a folder of images", metavar="DIR")
    out: str = argument("a .csv or .jsonl file (default: -, standard output)", "-", metavar="FILE")
    checkpoint: str = argument("best, last or a step (default: best)", "best", metavar="WHICH")
    runs_dir: str = argument("where to find the newest run (default: runs)", "runs", metavar="DIR")
    probabilities: bool = flag("add a column for each class's probability")
    jsonl: bool = flag("JSON lines on standard output")
    force: bool = flag("replace the file if it is there")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api

        out = None if self.out == "-" else self._checked(Path(self.out).expanduser())
        open_packages(self.package)
        found = api.predict(
            self.run,
            split=self.split,
            files=_listed(self.files),
            folder=self.folder,
            checkpoint=self.checkpoint,
            packages=self.package,
            runs_dir=self.runs_dir,
        )
        from nnxtrain.training.prediction_table import as_text

        jsonl = self.jsonl or (out is not None and out.suffix == ".jsonl")
        text = as_text(found.columns(probabilities=self.probabilities), "jsonl" if jsonl else "csv")
        if out is None:
            sys.stdout.write(text)
            return 0
        from nnxtrain.storage.atomic_write import atomic_write

        try:
            atomic_write(out, text.encode())
        except OSError as error:
            raise RunError(f"out={self.out}: {error.strerror}") from error
        print(f"{len(found)} predictions of step {found.step}: {self.out}")
        return 0

    def _checked(self, out: Path) -> Path:
        """A file that may be written, before the work is done for it."""
        if out.suffix not in (".csv", ".jsonl"):
            raise InputError(f"out={self.out}: expected a .csv or .jsonl file, or -")
        if out.is_dir() or not out.parent.is_dir():
            raise InputError(
                f"out={self.out}: {'a folder' if out.is_dir() else 'its folder does not exist'}"
            )
        if out.exists() and not self.force:
            raise InputError(f"out={self.out} exists already; --force replaces it")
        return out


def _listed(files: str | None) -> list[str]:
    """File names separated by commas; a name with commas in it may stand alone."""
    if files is None or Path(files).expanduser().is_file():
        return [files] if files else []
    return [name for name in files.split(",") if name]

"""``nnxtrain generate``: text from a run's language model."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import Any

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.packages import open_packages
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Generate(Command):
    """Let a run's language model continue a prompt.

    examples:
      nnxtrain generate prompt="The licence"            the newest run under runs/
      nnxtrain generate run=runs/DIR length=500 temperature=0.8 top_p=0.95 num=3
      nnxtrain generate temperature=0 --json            always the most probable token
    """

    run: str | None = argument("a run directory (default: the newest)", metavar="DIR")
    prompt: str = argument(
        "what the text begins with (default: a line break)", "\n", metavar="TEXT"
    )
    length: str = argument("how many tokens to add (default: 200)", "200", metavar="N")
    temperature: str = argument("0: the most probable token; default: 1", "1", metavar="T")
    top_k: str | None = argument("draw from the K most probable tokens", metavar="K")
    top_p: str | None = argument("draw from the most probable tokens of mass P", metavar="P")
    num: str = argument("how many samples (default: 1)", "1", metavar="N")
    seed: str = argument("decides what is drawn (default: 0)", "0", metavar="N")
    checkpoint: str = argument("best, last or a step (default: best)", "best", metavar="WHICH")
    runs_dir: str = argument("where to find the newest run (default: runs)", "runs", metavar="DIR")
    json: bool = flag("print one JSON object")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api

        open_packages(self.package)
        directory = api.find_run(self.run, self.runs_dir)
        made = api.generate(
            directory,
            self.prompt,
            length=_number("length", self.length),
            temperature=_number("temperature", self.temperature, float),
            top_k=None if self.top_k is None else _number("top_k", self.top_k),
            top_p=None if self.top_p is None else _number("top_p", self.top_p, float),
            num=_number("num", self.num),
            seed=_number("seed", self.seed),
            checkpoint=self.checkpoint,
            packages=self.package,
        )
        if self.json:
            print(json.dumps({"run": str(directory), **made}))
            return 0
        text = "\n---\n".join(self.prompt + sample for sample in made["samples"])
        print(without_controls(text) if sys.stdout.isatty() else text)
        return 0


def without_controls(text: str) -> str:
    """Return a text with control characters, which a terminal would obey, as U+FFFD; line breaks and tabs stay.

    >>> without_controls("a\\x1b[2J\\n")
    'a�[2J\\n'
    """
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)


def _number(name: str, text: str, kind: Any = int) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise InputError(f"{name}={text}: expected {wanted}") from None

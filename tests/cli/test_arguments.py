from dataclasses import dataclass

import pytest

from nnxtrain.cli.arguments import Command, argument, flag, help_text, parse, rest
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Paint(Command):
    """Paint a wall.

    examples:
      nnxtrain paint wall=north
    """

    tokens: tuple[str, ...] = rest("the colours", metavar="COLOUR")
    wall: str = argument("which", "north", metavar="WALL", choices=("north", "south"))
    dry_run: bool = flag("only say it", short="n")
    tool: tuple[str, ...] = flag("what with; repeatable", (), metavar="TOOL")


@dataclass(frozen=True)
class Sweep(Command):
    """Sweep a floor."""

    floor: str | None = argument("which", metavar="FLOOR")


def test_any_order():
    tokens = ["red", "--tool", "a", "wall=south", "-n", "x=1", "--tool=b", "--debug"]
    command = parse(Paint, tokens, "paint")
    assert command == Paint(
        debug=True, tokens=("red", "x=1"), wall="south", dry_run=True, tool=("a", "b")
    )


def test_defaults():
    assert parse(Paint, [], "paint") == Paint()


def test_after_two_dashes_nothing_is_a_flag():
    assert parse(Paint, ["--", "-n", "wall=x"], "paint").tokens == ("-n", "wall=x")


@pytest.mark.parametrize(
    ("command", "tokens", "line"),
    [
        (Paint, ["--dry-rn"], "paint: no flag '--dry-rn'; did you mean '--dry-run'?"),
        (Paint, ["-x"], "paint: no flag '-x'"),
        (Paint, ["--zzz"], "paint: no flag '--zzz' (known: --"),
        (Paint, ["--dry-run=yes"], "paint: --dry-run takes no value, got 'yes'"),
        (Paint, ["--tool"], "paint: --tool needs a value: --tool TOOL"),
        (Sweep, ["--floor=2"], "paint: no flag '--floor'; write floor=2, without dashes"),
        (Sweep, ["--floor", "2"], "paint: no flag '--floor'; write floor=FLOOR, without dashes"),
        (Sweep, ["debug=1"], "paint: unexpected argument 'debug=1'; did you mean '--debug'?"),
        (Paint, ["wall=noth"], "wall=noth: expected one of north, south; did you mean 'north'?"),
        (Paint, ["wall="], "wall= is empty; give wall=WALL"),
        (Sweep, ["flor=1"], "paint: unexpected argument 'flor=1'; did you mean 'floor='?"),
        (Sweep, ["kitchen"], "paint: unexpected argument 'kitchen' (it takes floor=)"),
    ],
)
def test_errors(command, tokens, line):
    with pytest.raises(InputError) as caught:
        parse(command, tokens, "paint")
    assert str(caught.value).startswith(line)


def test_help_names_every_field():
    text = help_text(Paint, "paint")
    assert text.startswith(
        "usage: nnxtrain paint [COLOUR ...] [wall=WALL] [flags]\n\nPaint a wall."
    )
    for part in ("examples:", "wall=WALL", "-n, --dry-run", "--tool TOOL", "--debug", "-h, --help"):
        assert part in text

"""How objects are shown: their ``repr``, and ``nnx.display`` for a terminal, a pipe or a notebook."""

from __future__ import annotations

import html
import shutil
import sys
from typing import Any

from nnxtrain.nnx.inspection.layout import Line, collapsed, lay_out, plain
from nnxtrain.nnx.inspection.outline import Entry, outline

MAX_REPR_LINES = 150


def display(*args: Any) -> None:
    """Show modules, Variables, States, GraphDefs, optimizers or any pytrees.

    Shown are types; the counts and bytes of each kind of Variable at each level; for an array its dtype, shape, sharding
    (if it has one to speak of) and ``≈mean ±standard deviation [≥least, ≤greatest]`` with counts of zeros, NaNs and
    infinities; static attributes. What is shared is shown once. Tracers and abstract values are shown without values.

    In a notebook that is an interactive tree, if treescope is installed (``pip install 'nnxtrain[notebook]'``); on a
    terminal text in colours, as wide as the window; into a pipe or file plain text (COLUMNS wide, if set, else 100).

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.display({"scale": nnx.Param(jnp.array([1.0, 3.0])), "steps": jnp.array(7)})
    dict( # Param: 2 (8 B), Array: 1 (4 B), Total: 3 (12 B)
      scale=Param(float32[2] ≈2.0 ±1.0 [≥1.0, ≤3.0] nonzero:2),
      steps=int32[] =7,
    )
    """
    notebook = _notebook_display()
    for value in args:
        if notebook is not None:
            _show_in_notebook(value, notebook)
        else:
            _show_on(sys.stdout, value)


def format_object(obj: Any) -> str:
    """The ``repr`` of an object: nested attributes with the counts and bytes of each kind of Variable, and no values.

    Equal neighbours in a list are shown once; a long text is cut (``nnx.display`` shows all).

    >>> from nnxtrain import nnx
    >>> print(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    Linear( # Param: 9 (36 B)
      kernel=Param(float32[2,3]),
      bias=Param(float32[3]),
      in_features=2,
      out_features=3,
      use_bias=True,
    )
    """
    lines = lay_out(collapsed(_without_noise(outline(obj, values=False))), pack=False)
    if len(lines) > MAX_REPR_LINES:
        left = len(lines) - MAX_REPR_LINES
        lines[MAX_REPR_LINES:] = [[(f"... and {left} more lines; nnx.display shows all", "note")]]
    return plain(lines)


def _without_noise(entry: Entry) -> Entry:
    entry.children = [_without_noise(child) for child in entry.children if not child.noise]
    return entry


def _show_on(stream: Any, value: Any) -> None:
    """Write to a terminal in colours, to anything else as plain text."""
    terminal = stream.isatty()
    width = shutil.get_terminal_size(fallback=(100, 24)).columns
    lines = lay_out(outline(value, values=True), width)
    lines = [[(_encodable(text, stream), role) for text, role in line] for line in lines]
    if not terminal:  # whatever FORCE_COLOR says: rich would colour a pipe
        print(plain(lines), file=stream)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, width=width)
    for line in lines:
        text = Text.assemble(*[(text, _STYLES[role]) for text, role in line])
        console.print(text, soft_wrap=True)


_STYLES = {"": "", "type": "bold cyan", "note": "dim", "value": "green", "static": "yellow"}
_CSS = {
    "": "", "type": "font-weight:600;color:#0b7285", "note": "opacity:.6", "value": "color:#2b8a3e",
    "static": "color:#a66a00",
}  # fmt: skip
_ASCII = str.maketrans({"≈": "~", "±": "+-", "≥": ">=", "≤": "<=", "…": "..."})


def _encodable(text: str, stream: Any) -> str:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode("ascii", "replace").decode()
    return text


def _notebook_display() -> Any:
    """IPython's ``display`` where a notebook's kernel runs this, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):  # IPython in a terminal is a terminal
        return None
    from IPython.display import display as show

    return show


def _show_in_notebook(value: Any, show: Any) -> None:
    try:
        import treescope  # noqa: F401
    except ImportError:
        lines = lay_out(outline(value, values=True), 100)
        note = "" if _Hint.given else f"<small>{_Hint.text}</small>"
        _Hint.given = True
        show({"text/html": _html(lines) + note, "text/plain": plain(lines)}, raw=True)
        return
    from nnxtrain.nnx.inspection.notebook import show_tree

    show_tree(value)


class _Hint:
    """What is said once for a process."""

    text = "For a tree that opens and closes: pip install 'nnxtrain[notebook]'"
    given = False


def _html(lines: list[Line]) -> str:
    body = "\n".join(
        "".join(
            f'<span style="{_CSS[role]}">{html.escape(text)}</span>' if role else html.escape(text)
            for text, role in line
        )
        for line in lines
    )
    return f'<pre style="line-height:1.35">{body}</pre>'

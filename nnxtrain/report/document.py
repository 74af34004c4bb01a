"""The frame of a page: one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from importlib import resources


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """Return a whole page with the style sheet and the script of all reports, and those of this one."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_file('page.css')}{style}</style></head>"
        f"<body><main>{body}</main><script>{_file('page.js')}{script}</script></body></html>\n"
    )


def _file(name: str) -> str:
    return resources.files("nnxtrain.report").joinpath(name).read_text(encoding="utf-8")

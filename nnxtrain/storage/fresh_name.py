"""Names for new directories that sort by time."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # nothing that looks like something else


def fresh_name(label: str) -> str:
    """Return the time, a label and a random ending; what does not go well in a file name becomes a dash.

    It may be taken all the same: whoever makes a directory of that name tries again with another.

    >>> fresh_name("my run")[19:-4]
    '_my-run_'
    """
    plain = re.sub(r"[^\w.+=-]+", "-", label).strip("-.")[:50] or "run"
    ending = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{plain}_{ending}"

"""How many bytes something has, in few characters."""

from __future__ import annotations


def byte_size(size: float) -> str:
    """Return bytes in the unit that fits.

    >>> [byte_size(x) for x in (512, 2048, 3_500_000, 3 * 2**40)]
    ['512 B', '2.0 KiB', '3.3 MiB', '3072.0 GiB']
    """
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024 or unit == "GiB":
            break
    return f"{size:.1f} {unit}"

"""How long something in a run lasts: a share of it, or so many steps or epochs."""

from __future__ import annotations

import re

Duration = float | str


def in_steps(
    name: str, duration: Duration, total_steps: int, steps_per_epoch: int | None = None
) -> int:
    """Return a duration as a number of steps.

    Args:
      name: what lasts so long, for the message.
      duration: a share of the run from 0 to 1, or text: ``"500 steps"``, ``"2.5 epochs"``, ``"5%"``.
      total_steps: the run's length.
      steps_per_epoch: steps in an epoch.

    Raises:
      ValueError: it is none of these.

    >>> [in_steps("warmup", text, 1000, 50) for text in (0.1, "20 steps", "2.5 epochs", "5%")]
    [100, 20, 125, 50]
    """
    if not isinstance(duration, str):
        if not 0.0 <= duration <= 1.0:
            raise ValueError(
                f"{name} is a share, 0 to 1; it got {duration} (write '{duration:g} steps' or '{duration:g} epochs' "
                "for a number of these)"
            )
        return round(duration * total_steps)
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(%|(?:step|epoch)s?)", duration.strip())
    if match is None:
        raise ValueError(
            f"{name} is a share such as 0.05, or text such as '5%', '500 steps' or '2 epochs'; it got {duration!r}"
        )
    number, unit = float(match[1]), match[2].rstrip("s")
    if unit == "%":
        return in_steps(name, number / 100, total_steps)
    if unit == "step":
        return round(number)
    if steps_per_epoch is None:
        raise ValueError(f"{name} is {duration!r}, but nothing says how many steps an epoch has")
    return round(number * steps_per_epoch)

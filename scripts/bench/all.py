"""All tables, one after another: nnxtrain beside every peer that is installed, as Markdown and as JSON.

Each table is made by its own script, which says what it measures and can be run alone. A folder gets NAME.json (the rows,
with the command and the machine) and tables.md, which is printed too. Whole, it takes more than an hour: nothing else
should run meanwhile.

    python scripts/bench/all.py [--only NAME ...] [--out bench-results] [--smoke]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from turns import markdown

HERE = Path(__file__).parent
PACKAGES = "jax", "jaxlib", "flax", "equinox", "keras", "torch", "lightning"

# by name: the script with its arguments, and what makes it small, where it can be
TABLES: dict[str, tuple[list[str], list[str]]] = {
    "dispatch": (["dispatch.py", "--rounds", "40"], ["--blocks", "1", "--rounds", "1"]),
    "calls": (["slide.py"], ["--calls", "10", "--rounds", "1"]),
    "building": (["build.py"], ["--models", "resnet18", "--rounds", "1"]),
    "convolution": (["convolution.py"], ["--only", "28x28x1", "--rounds", "1"]),
    "networks": (["networks.py", "--processes"], ["--smoke"]),
    "lenet": (["jobs.py", "--tables", "steady"], ["--smoke"]),
    "jobs": (["jobs.py", "--tables", "whole"], ["--smoke"]),
    "start": (["start.py"], ["--smoke"]),
    "input": (["input.py"], ["--smoke"]),
    "checkpoint": (["checkpoint.py"], ["--smoke"]),
    "growth": (["growth.py"], ["--smoke"]),
}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def processor() -> str:
    """The name that Linux has for it; elsewhere what Python knows."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def make(name: str, out: Path, smoke: bool) -> list[dict[str, Any]] | None:
    """Run one table's script and keep its rows; None where it fails, which stderr says then."""
    command, small = TABLES[name]
    command = [*command, *(small if smoke else []), "--json"]
    described, start = machine(), time.time()
    done = subprocess.run(
        [sys.executable, str(HERE / command[0]), *command[1:]],
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        print(f"{name}: {' '.join(command)} failed", file=sys.stderr)
        return None
    rows = [json.loads(line) for line in done.stdout.splitlines() if line]
    kept = {"command": command, "minutes": round((time.time() - start) / 60, 1), **described}
    (out / f"{name}.json").write_text(json.dumps(kept | {"rows": rows}, indent=1) + "\n")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=TABLES, metavar="NAME", default=list(TABLES))
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--smoke", action="store_true", help="small and short; no claim")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    failed, tables = False, []
    for name in args.only:
        rows = make(name, args.out, args.smoke)
        failed |= rows is None
        if rows is not None:
            tables.append(f"## {name}\n\n{markdown(rows)}\n")
            print(tables[-1], flush=True)
    (args.out / "tables.md").write_text("\n".join(tables))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

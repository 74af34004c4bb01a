"""``nnxtrain runs show``."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.byte_size import byte_size
from nnxtrain.cli.runs_list import as_json
from nnxtrain.cli.table import print_table
from nnxtrain.storage.json_values import finite


@dataclass(frozen=True)
class RunsShow(Command):
    """Tell all about one run: status, metrics, configuration, checkpoints, environment.

    examples:
      nnxtrain runs show                       the newest run
      nnxtrain runs show run=runs/DIR --json
    """

    run: str | None = argument("a run directory (default: the newest)", metavar="DIR")
    runs_dir: str = argument("where to find the newest run (default: runs)", "runs", metavar="DIR")
    json: bool = flag("print one JSON object")

    def __call__(self) -> int:
        from nnxtrain.api import find_run
        from nnxtrain.config.compare import differing, flat, flattened, shown
        from nnxtrain.config.composition import compose, to_container
        from nnxtrain.training.run_directory import RunDirectory
        from nnxtrain.training.run_summary import duration, summarize

        directory = RunDirectory.open(find_run(self.run, self.runs_dir))
        run = summarize(directory)
        default = flattened(to_container(compose()))
        differences = differing([default, flat(directory.config_path)])
        checkpoints, origin = _checkpoints(directory), directory.origin
        measured = _measured(run)
        if self.json:
            changed = {key: None if now is ... else now for key, (_, now) in differences.items()}
            content = {
                **as_json(run),
                "metrics": measured,
                "changed": changed,
                "checkpoints": checkpoints,
            }
            print(json.dumps(finite({**content, "origin": origin}), allow_nan=False))
            return 0
        print(f"run: {directory.path}")
        started = f", started {run.started:%Y-%m-%d %H:%M:%S}" if run.started else ""
        took = f", took {duration(run.seconds)}" if run.seconds is not None else ""
        print(f"{run.state} at step {run.step} of {run.total_steps or '?'}{started}{took}")
        if run.error:
            print(f"error: {run.error}")
        if run.state in ("died", "interrupted"):
            print(f"go on with: nnxtrain fit run={shlex.quote(str(directory.path))}")
        print(f"command: {' '.join(origin.get('command') or [])}\n")
        if measured:
            names = list(dict.fromkeys(name for record in measured for name in record))
            print_table(names, [[record.get(name, "") for name in names] for record in measured])
            print()
        rows = [(key, shown(now), shown(then)) for key, (then, now) in differences.items()]
        if rows:
            print_table(["configuration", "here", "default"], rows)
        else:
            print("configuration: the default")
        print()
        if checkpoints:
            table = [
                (
                    c["step"],
                    c["score"] if c["score"] is not None else "",
                    byte_size(c["bytes"]) if c["bytes"] is not None else "",
                )
                for c in checkpoints
            ]
            print_table(["checkpoint", f"validation {run.monitor or 'score'}", "size"], table)
            print()
        print_table(["environment", ""], _environment(origin))
        return 0


def _measured(run: Any) -> list[dict[str, Any]]:
    """The last line of each split, and the best of validation."""
    found = [("last", record) for record in {r["split"]: r for r in run.records}.values()]
    best = [r for r in run.records if r["split"] == "val" and r["step"] == run.best_step]
    found += [("best", record) for record in best]
    return [
        {
            "which": which,
            "split": r["split"],
            **{k: v for k, v in r.items() if k not in ("split", "time")},
        }
        for which, r in found
    ]


def _checkpoints(directory: Any) -> list[dict[str, Any]]:
    """Step, score and bytes of each, by its manifest: names and sizes of files are compared, not what is in them."""
    from nnxtrain.training.manifest import IncompleteError, verify

    found = []
    for path in sorted(
        directory.checkpoints_path.glob("[0-9]*"), key=lambda path: path.name.zfill(20)
    ):
        try:
            manifest = verify(path, contents=False)
        except IncompleteError as error:
            found.append({"step": path.name, "score": f"damaged: {error}", "bytes": None})
            continue
        size = sum(size for size, _ in manifest.files.values())
        found.append({"step": manifest.step, "score": manifest.score, "bytes": size})
    return found


def _environment(origin: dict[str, Any]) -> list[tuple[str, str]]:
    git = origin.get("git") or {}
    changed = " with uncommitted changes (git.diff)" if git.get("dirty") else ""
    versions = origin.get("versions") or {}
    return [
        ("host", f"{origin.get('host', '')} ({origin.get('platform', '')})"),
        ("directory", str(origin.get("working_directory", ""))),
        ("devices", ", ".join(origin.get("devices") or [])),
        (
            "versions",
            ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        ),
        ("git", f"{git['commit']}{changed}" if git.get("commit") else "no checkout"),
    ]

"""Training on a GPU beside PyTorch: images/s of a ResNet-18, tokens/s and MFU of a GPT-2, steps/s of a LeNet, and dispatch.

Contestants are processes of their own, one at a time, so that none holds memory that another wants. In each round all have a
turn, in an order that rotates; a turn is one training from the start, whose first window of steps (compiling, warming up)
does not count, and whose others are timed one by one. Figures are medians over all windows of all rounds with the quartiles
in parentheses; a ratio is that of windows of the same number and round. nnxtrain's side is `nnxtrain fit`, whole. A
contestant whose losses are not finite, or do not fall, or whose model has another number of parameters, fails.

MFU: (6N + 12·L·H·Q·T) FLOPs a token (https://arxiv.org/abs/2204.02311, appendix B) over the GPU's peak in bf16 (flops.py;
--peak for one that is not there). N does not count the positions' embeddings; attention counts in full, causal or not.

    scripts/bench/gpu.sh [--only resnet18 gpt2 lenet dispatch] [--rounds 3] [--gpt2-batch 16] [--json gpu.json]
    scripts/bench/gpu.sh --smoke        everything for a moment, tiny, on a CPU: no claim
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flops import peak_flops
from machine import describe, missing
from made_data import make
from turns import have, markdown, median, spread
from work import CONTESTANTS, NNXTRAIN, SIZES, SMOKE, Contestant, Work, sized

HERE = Path(__file__).parent
NO_CLAIM = "smoke on CPU: no claim"
LIMIT = 1800  # seconds a turn may take


def main() -> int:
    args = arguments()
    if args.json.exists():
        print(f"{args.json} is there already; give --json another name", file=sys.stderr)
        return 2
    if args.smoke:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if lack := missing(args.smoke, args.torch):
        print(lack, file=sys.stderr)
        return 2
    torch = args.torch and have("torch")
    machine = describe()
    peak = args.peak and args.peak * 1e12
    if not peak and not args.smoke:
        peak = peak_flops(machine["jax"]["devices"][0])
    rows, turns, failures = [], {}, []
    with tempfile.TemporaryDirectory(prefix="nnxtrain-bench-") as folder:
        for subject in [name for name in args.only if name != "dispatch"]:
            work = chosen_size(args, subject)
            contestants = [
                c
                for c in CONTESTANTS[subject]
                if (torch or c.script != "with_torch.py")
                and not (args.smoke and c.cuda_only)
                and (not args.contestants or c.name in args.contestants)
            ]
            taken, failed = take_turns(work, contestants, args.rounds, Path(folder), args.smoke)
            turns[subject] = taken
            rows += rows_of(work, taken, failed, peak)
            failures += [f"{subject}, {name}: {why}" for name, why in failed.items()]
    dispatch = measure_dispatch(args) if "dispatch" in args.only else []
    print("\n\n".join(report(args, machine, peak, rows, dispatch)))
    found = {
        "note": NO_CLAIM if args.smoke else None,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "peak_flops": peak,
        "rows": rows,
        "dispatch": dispatch,
        "work": {s: dataclasses.asdict(chosen_size(args, s)) for s in turns},
        "turns": turns,
    }
    args.json.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {args.json}", file=sys.stderr)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gpu.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subjects = [*CONTESTANTS, "dispatch"]
    parser.add_argument("--only", nargs="+", choices=subjects, default=subjects, metavar="SUBJECT")
    names = {c.name for group in CONTESTANTS.values() for c in group}
    parser.add_argument("--contestants", nargs="+", choices=sorted(names), metavar="NAME")
    parser.add_argument(
        "--smoke", action="store_true", help="tiny, on the CPU: do the scripts work?"
    )
    parser.add_argument("--rounds", type=int, help="turns of each contestant (3)")
    parser.add_argument("--windows", type=int, help="timed windows of a turn (5)")
    parser.add_argument("--resnet18-batch", type=int, metavar="IMAGES", help="512")
    parser.add_argument(
        "--gpt2-batch", type=int, metavar="SEQUENCES", help="16; what memory permits"
    )
    parser.add_argument("--gpt2-length", type=int, metavar="TOKENS", help="1024")
    parser.add_argument("--gpt2-vocabulary", type=int, metavar="TOKENS", help="50304")
    parser.add_argument("--lenet-batch", type=int, metavar="IMAGES", help="64")
    parser.add_argument("--peak", type=float, metavar="TFLOP/s", help="of the GPU, in dense bf16")
    parser.add_argument("--no-torch", dest="torch", action="store_false", help="without the peer")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), metavar="FILE")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.smoke else 3)
    return args


def chosen_size(args: argparse.Namespace, subject: str) -> Work:
    return sized(
        (SMOKE if args.smoke else SIZES)[subject],
        batch=getattr(args, f"{subject}_batch"),
        windows=args.windows,
        vocabulary=args.gpt2_vocabulary if subject == "gpt2" else None,
        length=args.gpt2_length if subject == "gpt2" else None,
    )


Turn = dict[str, Any]


def take_turns(
    work: Work, contestants: list[Contestant], rounds: int, folder: Path, smoke: bool
) -> tuple[dict[str, list[Turn]], dict[str, str]]:
    """Let all train once a round, and return what each turn printed, and why a contestant left."""
    data = make(work, folder)
    taken: dict[str, list[Turn]] = {contestant.name: [] for contestant in contestants}
    failed: dict[str, str] = {}
    for number in range(rounds):
        shift = number % max(1, len(contestants))
        for contestant in contestants[shift:] + contestants[:shift]:
            if contestant.name in failed:
                continue
            print(f"{work.subject}, round {number + 1}: {contestant.name}", file=sys.stderr)
            try:
                turn = in_new_process(work, contestant, data, folder, smoke)
                check(turn, smoke)
                taken[contestant.name].append(turn)
            except FailedError as failure:
                failed[contestant.name] = str(failure)
    sizes = {name: turns[0]["parameters"] for name, turns in taken.items() if turns}
    if len(set(sizes.values())) > 1:
        raise SystemExit(f"{work.subject}: models of different sizes are compared: {sizes}")
    return taken, failed


class FailedError(Exception):
    """A contestant's training came to nothing."""


def in_new_process(
    work: Work, contestant: Contestant, data: Path, folder: Path, smoke: bool
) -> Turn:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        told = {
            "work": dataclasses.asdict(work),
            "options": dict(contestant.options),
            "data": str(data),
            "folder": own,
            "smoke": smoke,
        }
        # What the first round compiles and tunes the others find; no figure has that in it.
        caches = {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
        }
        environment = caches | os.environ
        command = [sys.executable, str(HERE / contestant.script), json.dumps(told)]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=LIMIT
            )
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"was not through after {LIMIT} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no word"]
        telling = [line for line in lines if "out of memory" in line.lower()]
        raise FailedError((telling or lines)[-1].strip()[:300])
    return json.loads(done.stdout.splitlines()[-1])


def check(turn: Turn, smoke: bool) -> None:
    """Raise FailedError where a training did not learn; a smoke test is too short for more than finite losses."""
    losses = turn["losses"]
    if not all(loss is not None and math.isfinite(loss) for loss in losses):
        raise FailedError(f"its losses are not finite: {losses}")
    if not smoke and not losses[-1] < losses[0]:
        raise FailedError(f"its losses do not fall: {losses}")


def rows_of(
    work: Work, taken: dict[str, list[Turn]], failed: dict[str, str], peak: float | None
) -> list[dict[str, Any]]:
    """A row for each contestant; one that left has its reason in the place of figures."""
    rates = {
        name: {
            (number, window): work.units_per_step / seconds
            for number, turn in enumerate(turns)
            for window, seconds in enumerate(turn["seconds"])
        }
        for name, turns in taken.items()
    }
    ours = rates.get(NNXTRAIN.name, {})
    rows = []
    for name, turns in taken.items():
        row: dict[str, Any] = {"training": work.subject, "batch": work.batch, "contestant": name}
        if name in failed:
            rows.append(row | {"a second": f"failed: {failed[name]}"})
            continue
        own = rates[name]
        digits = 0 if median(own.values()) > 100 else 2
        row["a second"] = f"{spread(own.values(), digits)} {work.unit}"
        pairs = [ours[turn] / own[turn] for turn in own if turn in ours]
        row["nnxtrain / it"] = spread(pairs) if pairs and name != NNXTRAIN.name else ""
        step = work.flops_per_step(turns[0]["parameters"])
        if step and peak:
            used = (rate / work.units_per_step * step / peak for rate in own.values())
            row["MFU"] = spread((100 * share for share in used), 1) + " %"
        if all(turn["peak_bytes"] for turn in turns):
            row["memory (GiB)"] = round(median(turn["peak_bytes"] for turn in turns) / 2**30, 2)
        row["loss"] = f"{turns[0]['losses'][0]:.3f} → {turns[0]['losses'][-1]:.3f}"
        rows.append(row)
    return rows


def measure_dispatch(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of dispatch.py, on this device."""
    command = [sys.executable, str(HERE.parent / "dispatch.py"), "--json"]
    if args.smoke:
        command += ["--blocks", "1", "--rounds", "2", "--steps", "2", "--no-peers"]
    print("dispatch", file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(
    args: argparse.Namespace,
    machine: dict[str, Any],
    peak: float | None,
    rows: list[dict[str, Any]],
    dispatch: list[dict[str, Any]],
) -> list[str]:
    """The paragraphs that are printed."""
    devices = machine["gpus"] or machine["jax"]["devices"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    facts = [*devices, machine["jax"]["runtime"].replace("\n", " "), versions]
    facts.append(f"Python {machine['python']}, {machine['system']}, {machine['cores']} cores")
    if peak:
        facts.append(f"peak for MFU: {peak / 1e12:g} TFLOP/s")
    parts = [f"**{NO_CLAIM}**"] if args.smoke else []
    parts.append("\n".join(f"- {fact}" for fact in facts if fact))
    tables = [rows, dispatch]
    return parts + [markdown(table) for table in tables if table]


if __name__ == "__main__":
    sys.exit(main())

"""The entry point: find the verb, run it, turn errors into one line and an exit code.

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 after Ctrl-C, 75 when a scheduler's signal stopped it.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence

from nnxtrain import __version__
from nnxtrain.cli.arguments import Command, help_text, parse
from nnxtrain.cli.compile_cache import keep_compiled_programs
from nnxtrain.cli.freed_memory import keep_freed_memory
from nnxtrain.cli.notices import notices
from nnxtrain.errors import InputError, Interrupted, NnxtrainError, nearest

# verb: (module, class, what it does)
VERBS = {
    "fit": ("fit", "Fit", "train a model, resume a run, or sweep over values"),
    "summary": ("summary", "Summary", "print the layers of a model, their shapes and sizes"),
    "check": ("check", "Check", "look a run over before it is started: shapes, cost, one step"),
    "eval": ("eval", "Eval", "evaluate a run on the test split"),
    "predict": (
        "predict",
        "Predict",
        "write a run's predictions for a split, for files or a folder of images",
    ),
    "generate": ("generate", "Generate", "let a run's language model write text"),
    "export": ("export", "Export", "write a run's model for programs without nnxtrain"),
    "report": ("report", "Report", "write an HTML page on a run, or on several"),
    "runs list": ("runs_list", "RunsList", "list the runs, the newest first"),
    "runs show": ("runs_show", "RunsShow", "tell all about one run"),
    "runs compare": ("runs_compare", "RunsCompare", "show in what runs differ, and their results"),
    "sweep": (
        "sweep",
        "Sweep",
        "many runs: every combination of values, or some that are searched",
    ),
    "sweep status": ("sweep_status", "SweepStatus", "show how the trials of a sweep stand"),
    "sweep table": ("sweep_table", "SweepTable", "rank the results of a sweep"),
    "sweep report": ("sweep_report", "SweepReport", "write an HTML page on a sweep"),
    "sweep retry": ("sweep_retry", "SweepRetry", "go on with what did not end well"),
    "sweep cancel": ("sweep_cancel", "SweepCancel", "end trials; they are saved"),
    "sweep trial": ("sweep_trial", "SweepTrial", "run one trial of a sweep, here"),
    "sweep manage": ("sweep_trial", "SweepManage", ""),  # what `sweep` starts in the background
    "data list": ("data", "DataList", "list the data sets and which are prepared"),
    "data prepare": ("data", "DataPrepare", "download and prepare a data set"),
    "data preview": (
        "preview",
        "DataPreview",
        "look at training examples, as stored and as augmented",
    ),
    "config show": ("config", "ConfigShow", "print a composed configuration, run nothing"),
    "config list": ("config", "ConfigList", "list the config groups and their options"),
    "config paths": ("config", "ConfigPaths", "list where configurations come from"),
    "completion": (
        "completion",
        "Completion",
        "print the script that completes commands in a shell",
    ),
}
_HELP = ("-h", "--help")


def run() -> None:
    """Run the command line of this process and exit with its code."""
    keep_compiled_programs(os.environ)
    keep_freed_memory(os.environ)
    # Modules and programs stay: to look for garbage among them as often as Python does took a fifth of the start.
    gc.set_threshold(50_000, 20, 20)
    code = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _quiet_stdout()
    gc.freeze()  # nor is it worth looking, where all of it ends
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Run one command line, without the program's name, and return the exit code."""
    debug = "--debug" in argv
    try:
        return _dispatch(list(argv))
    except (Interrupted, KeyboardInterrupt) as error:
        _show(" ".join(str(error).split()) or "interrupted", debug)
        return getattr(error, "exit_code", Interrupted.exit_code)
    except NnxtrainError as error:
        _show(f"error: {' '.join(str(error).split())}", debug)
        return error.exit_code
    except BrokenPipeError:
        return _quiet_stdout()
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        hint = "" if debug else " (run again with --debug for the traceback)"
        _show(f"error: internal: {type(error).__name__}: {first}{hint}", debug)
        return 1


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in _HELP or argv == ["help"]:
        print(overview())
        return 0
    if argv[0] == "--version":
        print(f"nnxtrain {__version__}")
        return 0
    if argv[0] == "__complete":  # the shells' scripts ask so
        from nnxtrain.cli.complete import answer

        print(answer(argv[1:]), end="")
        return 0
    verb, tokens = _verb(argv)
    if verb not in VERBS:  # a verb of several, e.g. a bare `nnxtrain data`
        print(overview(verb))
        return 0
    command = _command(verb)
    flags = tokens[: tokens.index("--")] if "--" in tokens else tokens
    if any(token in _HELP for token in flags):
        print(help_text(command, verb))
        return 0
    ready = parse(command, tokens, verb)
    with notices():
        return ready()


def _verb(argv: list[str]) -> tuple[str, list[str]]:
    """Split a command line into its verb, of one word or two, and the rest."""
    first = argv[0]
    if " ".join(argv[:2]) in VERBS:
        return " ".join(argv[:2]), argv[2:]
    if first in VERBS:
        return first, argv[1:]
    if first.startswith("-"):
        known = [*_HELP, "--version"]
        raise InputError(f"no flag {first!r} before the command{nearest(first, known)}")
    subverbs = [verb.split()[1] for verb in VERBS if verb.startswith(f"{first} ")]
    if not subverbs:
        names = dict.fromkeys(verb.split()[0] for verb in VERBS)
        hint = nearest(first, names) or f" (commands: {', '.join(names)})"
        raise InputError(f"no command {first!r}{hint}")
    if len(argv) == 1 or argv[1] in _HELP:
        return first, []
    if argv[1] not in subverbs:
        hint = nearest(argv[1], subverbs) or f" (commands: {', '.join(subverbs)})"
        raise InputError(f"no command '{first} {argv[1]}'{hint}")
    return f"{first} {argv[1]}", argv[2:]


def _command(verb: str) -> type[Command]:
    module, name, _ = VERBS[verb]
    found: type[Command] = getattr(importlib.import_module(f"nnxtrain.cli.{module}"), name)
    return found


def overview(prefix: str = "") -> str:
    """Return the text of ``nnxtrain --help``, or the part about the verbs that begin so."""
    shown = {verb: text for verb, (_, _, text) in VERBS.items() if text and verb.startswith(prefix)}
    width = 2 + max(map(len, shown))
    lines = ["usage: nnxtrain COMMAND [arguments] [flags]", ""]
    if not prefix:
        lines += ["Train models with JAX from configuration files.", ""]
    lines += ["commands:", *(f"  {verb:<{width}}{text}" for verb, text in shown.items()), ""]
    if not prefix:
        lines += [
            "examples:",
            "  nnxtrain fit                                     train the built-in example",
            "  nnxtrain fit config=lenet_cifar5 trainer.epochs=5",
            "  nnxtrain sweep optim.learning_rate=1e-3,1e-2     one run for each value",
            "  nnxtrain eval                                    the newest run, on the test split",
            "",
            "  nnxtrain COMMAND --help tells about one command; nnxtrain --version the version.",
        ]
    return "\n".join(lines).rstrip()


def _show(line: str, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    print(line, file=sys.stderr)


def _quiet_stdout() -> int:
    """The reader went away (``| head``): say nothing, and keep Python's exit from saying it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, what a shell shows for other programs

"""Write the files that the layers' tests compare with: ``python -m scripts.parity.make [family ...]`` (default: all).

It runs in an environment with Flax and PyTorch, which the tests themselves do not need:

    python -m venv parity-env
    parity-env/bin/pip install flax torch --extra-index-url https://download.pytorch.org/whl/cpu
    parity-env/bin/pip install -e .
    JAX_PLATFORMS=cpu parity-env/bin/python -m scripts.parity.make

Add a family by a file in ``scripts/parity/families`` with a tuple ``CASES``; ``tests/nnx/layers/test_parity.py`` finds it.
"""

from __future__ import annotations

import argparse

from scripts.parity import evaluate, store
from scripts.parity.case import Case, families


def libraries(case: Case) -> dict[str, evaluate.Values]:
    """The case's values, and the answers of the libraries that have it."""
    from flax import nnx as flax

    from nnxtrain import nnx

    question = evaluate.question(flax if case.flax else nnx, case)
    answers = {"case": question}
    if case.flax:
        answers["flax"] = evaluate.answer(flax, case, question)
    if not (case.flax and case.seeded):
        answers["case"] = {n: v for n, v in question.items() if not n.startswith("init.")}
    if case.torch is not None:
        answers["torch"] = evaluate.answer_torch(case, question)
    return answers


def main() -> None:
    known = families()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", nargs="*", help=f"of {', '.join(known)}")
    chosen = parser.parse_args().family or list(known)
    if unknown := set(chosen) - set(known):
        parser.error(f"no family {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    for family in chosen:
        path = store.save(family, {c.name: libraries(c) for c in known[family].values()})
        print(f"{path.name}: {len(known[family])} cases, {path.stat().st_size / 1024:.1f} KiB")


if __name__ == "__main__":
    main()

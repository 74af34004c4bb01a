"""Every layer against Flax's and PyTorch's values, from the files that ``scripts/parity/make.py`` wrote.

Where Flax or PyTorch is installed, what it says today is compared with the files too.
"""

import functools

import numpy as np
import pytest

from nnxtrain import nnx
from scripts.parity import evaluate, store
from scripts.parity.case import families

FAMILIES = families()
CASES = [pytest.param(f, name, id=f"{f}-{name}") for f, cases in FAMILIES.items() for name in cases]


def assert_close(name, actual, expected, tolerance):
    assert actual.shape == expected.shape, name
    assert actual.dtype == expected.dtype, name
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    scale = np.abs(expected).max(initial=0) or 1.0
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale, err_msg=name)


def assert_agree(actual, expected, tolerance):
    assert actual.keys() >= expected.keys()
    for name, value in expected.items():
        assert_close(name, actual[name], value, tolerance)


@functools.cache
def stored(family):
    return store.load(family)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_outputs_and_gradients(family, name):
    case = FAMILIES[family][name]
    values = stored(family)[name]
    ours = evaluate.answer(nnx, case, values["case"])
    assert values.keys() > {"case"}, "nobody to compare with"
    if "flax" in values:
        assert_agree(ours, values["flax"], case.tolerance)
    if "torch" in values:
        assert_agree(ours, values["torch"], case.torch_tolerance or case.tolerance)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_one_seed_gives_flaxs_parameters(family, name):
    case = FAMILIES[family][name]
    initial = {n: v for n, v in stored(family)[name]["case"].items() if n.startswith("init.")}
    if not (case.flax and case.seeded):
        assert not initial
        return
    ours = {f"init.{n}": v for n, v in evaluate.variables(nnx, case.build(nnx)).items()}
    assert_agree(ours, initial, 1e-6)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_flax_still_says_so(family, name):
    flax = pytest.importorskip("flax.nnx", reason="Flax is not installed")
    case = FAMILIES[family][name]
    if case.flax:
        values = stored(family)[name]
        assert_agree(evaluate.answer(flax, case, values["case"]), values["flax"], case.tolerance)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_pytorch_still_says_so(family, name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    case = FAMILIES[family][name]
    if case.torch is not None:
        values = stored(family)[name]
        assert_agree(evaluate.answer_torch(case, values["case"]), values["torch"], case.tolerance)

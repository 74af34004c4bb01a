"""Saving and restoring: what comes back is what was there, to the bit."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.errors import InputError, RunError
from nnxtrain.training.checkpoint import Checkpoints


def every_kind() -> dict:
    key = jax.random.key_data(jax.random.key(7))
    return {
        "params": {
            "conv1": {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 2, 4))},
            "odd": jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45]),
        },
        "half": jnp.arange(7, dtype=jnp.bfloat16) / 3,
        "int": jnp.arange(-3, 3, dtype=jnp.int8),
        "small": jnp.arange(4, dtype=jnp.int4),
        "bool": jnp.array([True, False]),
        "key": key,
        "scalar": jnp.int32(41),
        "none_at_all": jnp.zeros((0, 3), jnp.float16),
        "empty": {},
        "numpy": np.arange(5, dtype=np.int64),
        "a.b": jnp.zeros(2),
        "a": {"b": jnp.ones(2), "": jnp.full(1, 3.0), "x/y%2E": jnp.full(1, 4.0)},
    }


def assert_same(actual: object, expected: object) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert type(a) is type(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def abstract(tree: object) -> object:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, jax.Array) else x, tree
    )


def test_every_dtype_and_structure_round_trips(tmp_path: Path) -> None:
    tree = every_kind()
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() is None
        assert checkpoints.save(3, tree, {"epoch": 1.5, "nan": float("nan")}, score=0.25)
        found = checkpoints.latest()
        assert found is not None
        assert (found.step, found.score, found.info["epoch"]) == (3, 0.25, 1.5)
        assert found.arrays["half"] == ("bfloat16", (7,))
        assert_same(checkpoints.restore(found, tree), tree)
        assert_same(checkpoints.restore(found, abstract(tree)), tree)
    with Checkpoints(tmp_path / "checkpoints") as again:
        assert_same(again.restore(again.at(3), tree), tree)


def test_a_relative_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Checkpoints("here") as checkpoints:
        checkpoints.save(1, {"x": jnp.ones(2)}, {})
    assert Checkpoints("here").at(1).path == tmp_path / "here" / "1"


def test_a_tree_without_arrays(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"params": {}}, {"only": "info"})
        assert checkpoints.restore(checkpoints.at(1), {"params": {}}) == {"params": {}}
        assert checkpoints.at(1).info == {"only": "info"}


def test_donating_right_after_a_save_changes_nothing_saved(tmp_path: Path) -> None:
    update = jax.jit(lambda tree: jax.tree.map(lambda x: x * 1.5 + 1, tree), donate_argnums=0)
    tree = {f"layer{i}": {"kernel": jnp.full((64, 64), float(i))} for i in range(20)}
    written: dict[int, dict] = {}
    host = np.zeros(1000)
    with Checkpoints(tmp_path, keep_last=10) as checkpoints:
        for step in range(6):
            written[step] = jax.tree.map(np.array, tree) | {"host": host.copy()}
            checkpoints.save(step, tree | {"host": host}, {})
            for _ in range(3):
                tree = update(tree)
            host += 1
        for step, expected in written.items():
            restored = checkpoints.restore(checkpoints.at(step), expected)
            jax.tree.map(np.testing.assert_array_equal, restored, expected)


def test_orbax_is_given_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the caller's arrays stay what they are must not hang on how Orbax reads them."""
    given: list[dict] = []
    original = {"x": jnp.ones((8, 8)), "host": np.ones(3)}
    with Checkpoints(tmp_path) as checkpoints:
        save = checkpoints._orbax.save
        spy = lambda path, args: (given.append(args.item), save(path, args=args))  # noqa: E731
        monkeypatch.setattr(checkpoints._orbax, "save", spy)
        checkpoints.save(1, original, {})
        checkpoints.wait()
    assert not np.shares_memory(given[0]["host"], original["host"])
    pointers = [tree["x"].unsafe_buffer_pointer() for tree in (given[0], original)]
    assert pointers[0] != pointers[1]


def test_info_is_a_snapshot(tmp_path: Path) -> None:
    info = {"history": [1, 2]}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.ones(1)}, info)
        info["history"].append(3)
        assert checkpoints.at(1).info == {"history": [1, 2]}


def test_a_complete_step_is_never_overwritten(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.save(1, {"x": jnp.ones(2)}, {"which": "first"})
        assert not checkpoints.save(1, {"x": jnp.zeros(2)}, {"which": "second"})
        assert checkpoints.at(1).info == {"which": "first"}
        assert checkpoints.restore(checkpoints.at(1), {"x": np.ones(2, np.float32)})["x"].all()


@pytest.mark.parametrize("in_the_way", ["empty directory", "damaged checkpoint", "file"])
def test_an_incomplete_step_is_replaced(tmp_path: Path, in_the_way: str) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        if in_the_way == "empty directory":
            (tmp_path / "1").mkdir()
        elif in_the_way == "file":
            (tmp_path / "1").write_text("note")
        else:
            checkpoints.save(1, {"x": jnp.zeros(2)}, {})
            checkpoints.wait()
            next((tmp_path / "1" / "state").glob("d/*")).unlink()
        assert checkpoints.save(1, {"x": jnp.ones(2)}, {})
        assert checkpoints.restore(checkpoints.at(1), {"x": jnp.zeros(2)})["x"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_restore_names_what_differs(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        saved = {"params": {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}, "count": jnp.int32(0)}
        checkpoints.save(1, saved, {})
        found = checkpoints.at(1)
        wanted = {
            "params": {"w": jnp.ones((2, 4)), "scale": jnp.ones(3)},
            "count": jnp.zeros((), jnp.uint32),
        }
        with pytest.raises(InputError) as error:
            checkpoints.restore(found, wanted)
    assert str(error.value) == (
        f"checkpoint {tmp_path / '1'} does not fit: "
        "params/w is float32[2,3] and not float32[2,4]; params/scale is missing; "
        "count is int32[] and not uint32[]; and 1 more"
    )


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"params": {0: jnp.ones(1)}}, "params/: the key 0 is not a string"),
        ({"step": 3}, "step: int is not an array"),
        ({"key": jax.random.key(0)}, "key: a typed PRNG key"),
    ],
)
def test_what_cannot_be_saved_is_refused_at_once(tmp_path: Path, tree: dict, message: str) -> None:
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(TypeError, match=message):
        checkpoints.save(1, tree, {})
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_costs_nothing_older(tmp_path: Path) -> None:
    tree = {"x": jax.random.normal(jax.random.key(0), (300_000,))}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree, {})
        checkpoints.wait()
        try:  # the limit makes a write fail half-way, as a full disk does
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
            checkpoints.save(2, tree, {})
            with pytest.raises(RunError) as error:
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(error.value).startswith(f"checkpoint {tmp_path / '2'} was not saved: ")
        assert "\n" not in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["1"]
        checkpoints.save(3, tree, {})  # and life goes on
        assert [c.step for c in checkpoints.all()] == [1, 3]
        assert_same(checkpoints.restore(checkpoints.at(1), tree), tree)


def test_a_background_error_does_not_hide_the_first_one(tmp_path: Path) -> None:
    def fail_twice() -> None:
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints._error = RunError("the checkpoint was not saved")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as error:
        fail_twice()
    assert error.value.__notes__ == ["the checkpoint was not saved"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        Checkpoints(tmp_path / "file" / "checkpoints") as checkpoints,
        pytest.raises(RunError, match=r"was not saved: .*Not a directory"),
    ):
        checkpoints.save(1, {"x": jnp.ones(1)}, {})


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_another_number_of_devices_and_no_chatter(tmp_path: Path) -> None:
    """Saved on four devices, sharded; restored here, on however many there are, and the reverse.

    The other process logs everything that any library says to the root logger.
    """
    code = """
        import logging, sys
        logging.basicConfig(level=logging.INFO, format="%(pathname)s %(message)s")
        import jax, jax.numpy as jnp
        jax.config.update("jax_num_cpu_devices", 4)
        jax.config.update("jax_platforms", "cpu")
        from jax.sharding import NamedSharding, PartitionSpec as P
        from nnxtrain.training.array_tree import copy
        from nnxtrain.training.checkpoint import Checkpoints

        mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
        rows = NamedSharding(mesh, P("data"))
        with Checkpoints(sys.argv[1]) as checkpoints:
            like = {"x": jax.ShapeDtypeStruct((8, 3), jnp.float32, sharding=rows)}
            x = checkpoints.restore(checkpoints.at(1), like)["x"]
            assert x.sharding == rows
            alone = jax.device_put(jnp.ones(2), jax.devices()[2])
            copies = copy({"x": x, "alone": alone})
            assert copies["x"].sharding.is_equivalent_to(rows, 2)
            assert copies["alone"].devices() == alone.devices()
            checkpoints.save(2, {"x": x + 1, "alone": alone}, {})
        """
    x = jnp.arange(24.0).reshape(8, 3)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": x}, {})
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "orbax" not in done.stderr
    with Checkpoints(tmp_path) as checkpoints:
        like = {"x": jax.ShapeDtypeStruct((8, 3), jnp.float32), "alone": jnp.zeros(2)}
        restored = checkpoints.restore(checkpoints.at(2), like)
        assert_same(restored["x"], x + 1)

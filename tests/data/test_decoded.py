"""The cache of decoded arrays: damage is noticed, and any number of processes may start at once."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path

import numpy as np
import pytest

from nnxtrain.data import TFDSImages


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy of the prepared and decoded set, to be damaged."""
    return Path(shutil.copytree(tiny_root, tmp_path / "data"))


def entry_of(root: Path) -> Path:
    (entry,) = (root / "decoded").iterdir()
    return entry


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_shape(path: Path) -> None:
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"shape": [1, 2, 3]}))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("images.npy", flip_a_bit),
        ("images.npy", cut_short),
        ("images.npy", Path.unlink),
        ("labels.npy", flip_a_bit),
        ("labels.npy", cut_short),
        ("meta.json", cut_short),
        ("meta.json", change_shape),
        ("meta.json", lambda path: path.write_text("[]")),
        ("meta.json", Path.unlink),
    ],
)
def test_a_damaged_entry_is_rebuilt(
    root: Path, file: str, damage: Callable[[Path], object]
) -> None:
    dataset = TFDSImages(name="shapes5/tiny", data_dir=str(root))
    before = dataset.load()
    ids = np.arange(len(before.test))
    images = before.test.batch(ids)["input"]
    damage(entry_of(root) / file)
    after = dataset.load()
    assert after.test.fingerprint == before.test.fingerprint
    assert np.array_equal(after.test.batch(ids)["input"], images)
    assert [p.name for p in (root / "decoded").iterdir()] == [entry_of(root).name]


def test_leftovers_of_a_killed_process_are_swept(root: Path) -> None:
    entry = entry_of(root)
    leftover = entry.parent / f".{entry.name}.0123"
    entry.rename(leftover)
    (leftover / "meta.json").unlink()
    TFDSImages(name="shapes5/tiny", data_dir=str(root)).load()
    assert [p.name for p in entry.parent.iterdir()] == [entry.name]


def test_the_cache_moves_with_the_data_directory(root: Path) -> None:
    entry = entry_of(root)
    made = (entry / "images.npy").stat().st_mtime_ns
    moved = root.rename(root.with_name("elsewhere"))
    TFDSImages(name="shapes5/tiny", data_dir=str(moved)).load()
    assert entry_of(moved).name == entry.name
    assert (entry_of(moved) / "images.npy").stat().st_mtime_ns == made


def test_twenty_processes_at_once_prepare_and_decode_one_set(tmp_path: Path) -> None:
    dataset = TFDSImages(name="shapes5/tiny", data_dir=str(tmp_path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow_datasets", "nnxtrain.data.builders.shapes5"])
    with context.Pool(20) as pool:
        loaded = pool.map(methodcaller("load"), [dataset] * 20, chunksize=1)
    assert len({splits.train.fingerprint for splits in loaded}) == 1
    assert len(list((tmp_path / "decoded").iterdir())) == 1
    assert [p.name for p in (tmp_path / "prepared/shapes5/tiny").iterdir()] == ["1.0.0"]
    assert not list((tmp_path / "staging").iterdir())

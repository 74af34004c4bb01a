from __future__ import annotations

from pathlib import Path

import pytest

from nnxtrain.data import TFDSImages, known_sets
from nnxtrain.data.catalog import CATALOG
from nnxtrain.data.storage import data_directory


def test_rows_say_what_is_prepared_and_where(tmp_path: Path) -> None:
    assert all(row.prepared is None for row in known_sets(str(tmp_path)))
    folder = CATALOG["mnist"].directory(tmp_path / "prepared", "")
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    rows = {row.name: row for row in known_sets(str(tmp_path))}
    assert rows["mnist"].prepared == folder
    assert rows["cifar10"].prepared is None
    assert rows["cifar10"].sizes == {"train": 50_000, "test": 10_000}
    assert len(rows["cifar100"].class_names) == len(set(rows["cifar100"].class_names)) == 100


def test_shapes5_lies_where_the_catalogue_says(tiny_root: Path) -> None:
    prepared = TFDSImages(name="shapes5/tiny", data_dir=str(tiny_root)).prepare()
    assert prepared == CATALOG["shapes5"].directory(tiny_root / "prepared", "tiny")


@pytest.mark.parametrize("name", CATALOG)
def test_the_catalogue_agrees_with_the_builder(name: str, tmp_path: Path) -> None:
    entry = CATALOG[name]
    for variant in entry.sizes:
        builder = entry.builder_class()(data_dir=str(tmp_path), config=variant or None)
        assert builder.name == name
        assert str(builder.version) == entry.version
        assert builder.info.features["image"].shape == entry.image_shape
        assert Path(builder.data_dir) == entry.directory(tmp_path, variant)
        label = builder.info.features["label"]
        assert label.num_classes == len(entry.class_names)
        if not name.startswith("cifar"):  # their names come with the archive
            assert tuple(label.names) == entry.class_names
        if name == "shapes5":
            config = builder.builder_config
            assert entry.sizes[variant] == {"train": config.num_train, "test": config.num_test}
        assert all(info.checksum for info in builder.expected().values())


def test_where_data_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert data_directory() == tmp_path / ".cache/nnxtrain"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_directory() == tmp_path / "cache/nnxtrain"
    monkeypatch.setenv("NNXTRAIN_DATA_DIR", str(tmp_path / "data"))
    assert data_directory() == tmp_path / "data"
    assert data_directory("~/mine") == tmp_path / "mine"

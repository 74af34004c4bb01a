"""Preparing from local files and over the network; what is said when that cannot be done."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from nnxtrain.data import Source, TFDSImages, known_sets
from nnxtrain.data.archives import Archive, gather
from nnxtrain.data.builders import mnist
from nnxtrain.data.catalog import CATALOG
from nnxtrain.errors import InputError, RunError

Writer = Callable[..., dict[str, tuple[np.ndarray, np.ndarray]]]
FASHION = Path("/usr/share/datasets/fashion-mnist")


def as_set(images: np.ndarray, labels: np.ndarray) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels)}


def contents(*sources: Source) -> set[tuple[bytes, int]]:
    batches = [source.batch(np.arange(len(source))) for source in sources]
    return set().union(*(as_set(batch["input"], batch["label"]) for batch in batches))


def cifar10(root: Path, archives: Path | None, **kwargs: object) -> TFDSImages:
    return TFDSImages(
        name="cifar10",
        data_dir=str(root),
        local_dir=None if archives is None else str(archives),
        **kwargs,  # type: ignore[arg-type]
    )


def test_a_small_archive_in_cifar10s_format(tmp_path: Path, write_cifar10: Writer) -> None:
    expected = write_cifar10(tmp_path / "archives")
    dataset = cifar10(tmp_path / "data", tmp_path / "archives", verify_checksum=False)
    splits = dataset.load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (90, 10, 20)
    assert contents(splits.train, splits.validation) == as_set(*expected["train"])
    assert contents(splits.test) == as_set(*expected["test"])
    assert splits.train.spec.class_names == CATALOG["cifar10"].class_names
    prepared = tfds.data_source(
        "cifar10", split="test", data_dir=str(dataset.prepare().parents[1]), download=False
    )
    assert as_set(*zip(*((e["image"], e["label"]) for e in prepared))) == as_set(*expected["test"])


def test_five_classes_of_it(tmp_path: Path, write_cifar10: Writer) -> None:
    write_cifar10(tmp_path / "archives")
    classes = ["airplane", "automobile", "bird", "cat", "ship"]
    splits = cifar10(
        tmp_path / "data", tmp_path / "archives", verify_checksum=False, classes=classes
    ).load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45, 5, 10)


@pytest.mark.usefixtures("no_network")
def test_an_unpublished_archive_is_never_taken_for_the_published_one(
    tmp_path: Path, write_cifar10: Writer
) -> None:
    root = tmp_path / "data"
    sets = []
    for seed in (1, 2):
        archives = tmp_path / f"archives{seed}"
        write_cifar10(archives, seed=seed)
        sets.append(cifar10(root, archives, verify_checksum=False))
    folders = [dataset.prepare() for dataset in sets]
    assert folders[0] != folders[1]
    assert sets[0].prepare() == folders[0]
    assert sets[0].load().test.fingerprint != sets[1].load().test.fingerprint
    with pytest.raises(InputError, match="cifar10 is not prepared"):
        cifar10(root, None).load()
    with pytest.raises(InputError, match="cifar10 is not prepared"):
        cifar10(root, None, verify_checksum=False).load()
    assert {row.name: row.prepared for row in known_sets(str(root))}["cifar10"] is None


def test_a_wrong_checksum_names_the_file_and_both_sums(
    tmp_path: Path, write_cifar10: Writer
) -> None:
    write_cifar10(tmp_path / "archives")
    file = tmp_path / "archives/cifar-10-binary.tar.gz"
    got = hashlib.sha256(file.read_bytes()).hexdigest()
    published = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    expected = f"{file} .*{got}.*{published}.*data.verify_checksum=false"
    with pytest.raises(InputError, match=expected) as caught:
        cifar10(tmp_path / "data", tmp_path / "archives").load()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data/prepared").exists()


def test_files_may_lie_in_the_download_folder(tmp_path: Path, write_cifar10: Writer) -> None:
    downloads = tmp_path / "data/downloads/cifar10"
    downloads.mkdir(parents=True)
    write_cifar10(downloads)
    assert len(cifar10(tmp_path / "data", None, verify_checksum=False).load().test) == 20


def rewrite(archive: Path, change: functools.partial[dict[str, bytes]]) -> None:
    with tarfile.open(archive) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in change(files).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


FOLDER = "cifar-10-batches-bin"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("data_batch_3.bin", None, f"has no {FOLDER}/data_batch_3.bin"),
        ("test_batch.bin", b"\0" * 3072, "not a whole number of 3073-byte records"),
        ("test_batch.bin", b"\x0a" + b"\0" * 3072, "record 0 of test has label 10"),
        ("batches.meta.txt", "\n".join("abcdefghij").encode(), "other classes than cifar10"),
    ],
)
def test_a_malformed_archive_is_named(
    tmp_path: Path, write_cifar10: Writer, name: str, data: bytes | None, message: str
) -> None:
    write_cifar10(tmp_path / "archives")

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        files = {k: v for k, v in files.items() if k != f"{FOLDER}/{name}"}
        return files if data is None else {**files, f"{FOLDER}/{name}": data}

    rewrite(tmp_path / "archives/cifar-10-binary.tar.gz", functools.partial(change))
    with pytest.raises(InputError, match=message) as caught:
        cifar10(tmp_path / "data", tmp_path / "archives", verify_checksum=False).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_an_archive_cut_short_is_named(tmp_path: Path, write_cifar10: Writer, keep: int) -> None:
    write_cifar10(tmp_path / "archives")
    file = tmp_path / "archives/cifar-10-binary.tar.gz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be read as a tar archive"):
        cifar10(tmp_path / "data", tmp_path / "archives", verify_checksum=False).load()


def test_small_idx_files_in_mnists_format(tmp_path: Path, write_mnist: Writer) -> None:
    write_mnist(tmp_path / "archives")
    for name in ("mnist", "kmnist", "fashion_mnist"):
        splits = TFDSImages(
            name=name,
            data_dir=str(tmp_path / "data"),
            local_dir=str(tmp_path / "archives"),
            verify_checksum=False,
        ).load()
        assert (len(splits.train), len(splits.validation), len(splits.test)) == (50, 10, 20)
        assert splits.train.spec.input_shape == (28, 28, 1)
        assert splits.train.spec.class_names == CATALOG[name].class_names


def test_unpublished_files_are_not_mixed_with_downloads(
    tmp_path: Path, write_mnist: Writer
) -> None:
    write_mnist(tmp_path / "archives")
    (tmp_path / "archives/t10k-labels-idx1-ubyte.gz").unlink()
    dataset = TFDSImages(
        name="mnist",
        data_dir=str(tmp_path / "data"),
        local_dir=str(tmp_path / "archives"),
        verify_checksum=False,
    )
    with pytest.raises(InputError, match=r"needs t10k-labels-idx1-ubyte\.gz there too"):
        dataset.load()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "host", "file"),
    [
        ("cifar10", "www.cs.toronto.edu", "cifar-10-binary.tar.gz"),
        ("mnist", "storage.googleapis.com", "train-images-idx3-ubyte.gz"),
    ],
)
def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path, name: str, host: str, file: str
) -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match=f"{host} cannot be reached") as caught:
        TFDSImages(name=name, data_dir=str(tmp_path / "data")).load()
    assert time.monotonic() - start < 3
    message = str(caught.value)
    assert "\n" not in message
    assert f"put {file}" in message
    assert f"nnxtrain data prepare {name} data.local_dir=DIR" in message
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=f"{empty} does not hold.*data.local_dir={empty}"):
        TFDSImages(name=name, data_dir=str(tmp_path), local_dir=str(empty)).load()


def test_a_local_dir_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"data.local_dir={tmp_path}/nowhere is not a folder"):
        cifar10(tmp_path, tmp_path / "nowhere").load()


def test_a_hanging_name_look_up_does_not_hang_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*args: object, **kwargs: object) -> None:
        time.sleep(4)
        raise OSError

    monkeypatch.setattr("socket.create_connection", hang)
    start = time.monotonic()
    with pytest.raises(InputError, match="cannot be reached"):
        cifar10(tmp_path, None).load()
    assert time.monotonic() - start < 3


@pytest.fixture
def server(tmp_path: Path, write_mnist: Writer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A web server for MNIST's files; gives the folder that it serves."""
    folder = tmp_path / "served"
    write_mnist(folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setattr(mnist.MNIST, "URL", f"http://127.0.0.1:{httpd.server_port}/")
        expected = {
            url: tfds.core.download.checksums.compute_url_info(folder / url.rsplit("/", 1)[1])
            for url in mnist.MNIST.urls(mnist.MNIST)  # type: ignore[arg-type]
        }
        monkeypatch.setattr(mnist.MNIST, "expected", lambda self: expected)
        monkeypatch.setattr(mnist.MNIST, "accepted", expected)
        yield folder
        httpd.shutdown()
        thread.join()


def test_downloading(
    server: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = TFDSImages(name="mnist", data_dir=str(tmp_path / "data"))
    folder = dataset.prepare()
    assert len(dataset.load().test) == 20
    assert capfd.readouterr() == ("", "")
    # What was downloaded is kept: no network is needed to prepare the set again.
    folder.rename(tmp_path / "away")
    monkeypatch.setattr(
        "nnxtrain.data.prepare.unreachable_host", lambda urls: next(iter(urls), None)
    )
    assert dataset.prepare() == folder


def test_a_download_that_fails_says_so_in_one_line(server: Path, tmp_path: Path) -> None:
    (server / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(RunError, match=r"downloading mnist failed: .*404.*put train-") as caught:
        TFDSImages(name="mnist", data_dir=str(tmp_path / "data")).load()
    assert "\n" not in str(caught.value)


def test_a_download_with_a_wrong_checksum_says_so(server: Path, tmp_path: Path) -> None:
    (server / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(RunError, match=r"t10k-labels\S+ has the SHA-256 \w+, expected") as caught:
        TFDSImages(name="mnist", data_dir=str(tmp_path / "data")).load()
    assert "\n" not in str(caught.value)


def test_leftovers_of_a_killed_process_do_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / "prepared/shapes5/tiny"
    for leftover in (folder / "incomplete.ABC123_1.0.0", tmp_path / "staging/shapes5"):
        leftover.mkdir(parents=True)
        (leftover / "part").write_text("")
    TFDSImages(name="shapes5/tiny", data_dir=str(tmp_path)).prepare()
    assert [path.name for path in folder.iterdir()] == ["1.0.0"]
    assert not (tmp_path / "staging/shapes5").exists()


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_debians_fashion_mnist_is_the_published_one(tmp_path: Path) -> None:
    builder = mnist.FashionMNIST(data_dir=str(tmp_path))
    archives = [Archive(u, info.filename, info.checksum) for u, info in builder.expected().items()]
    found = gather(archives, [FASHION], tmp_path)
    assert [file.archive for file in found] == archives
    assert all(file.is_published for file in found)
    assert all(
        hashlib.sha256((tmp_path / a.file_name).read_bytes()).hexdigest() == a.sha256
        for a in archives
    )
    assert mnist.read_idx(tmp_path / "train-images-idx3-ubyte.gz").shape == (60_000, 28, 28)

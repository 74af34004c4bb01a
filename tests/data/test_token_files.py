from pathlib import Path

import numpy as np
import pytest

from nnxtrain.data import ByteTokenizer, Tokens
from nnxtrain.errors import InputError

NUMBERS = np.random.default_rng(0).integers(0, 50, 2000)


def saved(folder: Path, numbers: np.ndarray, name: str) -> str:
    path = folder / name
    np.save(path, numbers) if name.endswith(".npy") else numbers.tofile(path)
    return str(path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "int64"])
@pytest.mark.parametrize("name", ["t.npy", "t.bin"])
def test_tokens_come_back(tmp_path: Path, dtype, name: str) -> None:
    path = saved(tmp_path, NUMBERS.astype(dtype), name)
    splits = Tokens(path, dtype=dtype, length=100).load()
    batch = splits.train.batch(np.arange(len(splits.train)))
    assert batch["input"].dtype == np.int32
    assert np.array_equal(batch["input"].ravel(), NUMBERS[:1500])
    assert np.array_equal(batch["label"].ravel(), NUMBERS[1:1501])
    assert splits.train.spec.vocab_size == NUMBERS.max() + 1
    held = splits.test.batch(np.arange(len(splits.test)))
    assert np.array_equal(held["label"][held["weight"] == 1], NUMBERS[1800:])


def test_files_are_mapped(tmp_path: Path) -> None:
    for name in ("t.npy", "t.bin"):
        path = saved(tmp_path, NUMBERS.astype(np.uint16), name)
        base = Tokens(path, length=10).load().train.streams[0]  # type: ignore[attr-defined]
        while not isinstance(base, np.memmap):
            base = base.base


def test_a_header_is_skipped(tmp_path: Path) -> None:
    header = np.full(256, 20240520, np.int32)
    (tmp_path / "t.bin").write_bytes(header.tobytes() + NUMBERS.astype(np.uint16).tobytes())
    splits = Tokens(str(tmp_path / "t.bin"), header_bytes=1024, length=10).load()
    assert splits.train.batch(np.array([0]))["input"].tolist() == [NUMBERS[:10].tolist()]


def test_a_tokenizer_says_the_size_and_goes_along(tmp_path: Path) -> None:
    path = saved(tmp_path, NUMBERS.astype(np.uint16), "t.bin")
    spec = Tokens(path, length=10, tokenizer=ByteTokenizer()).load().train.spec
    assert (spec.vocab_size, spec.tokenizer) == (256, ByteTokenizer())
    assert Tokens(path, length=10, vocab_size=60).load().train.spec.vocab_size == 60


def test_tokens_out_of_the_vocabulary(tmp_path: Path) -> None:
    numbers = NUMBERS.astype(np.int32)
    numbers[3] = -1
    with pytest.raises(InputError, match=r"data.train: token 3 of .*t.npy is -1, but tokens lie"):
        Tokens(saved(tmp_path, numbers, "t.npy")).load()
    numbers[3] = 50
    held = saved(tmp_path, numbers, "held.npy")
    good = saved(tmp_path, NUMBERS.astype(np.uint16), "good.bin")
    with pytest.raises(InputError, match=r"data.test: token 3 of .* is 50, .* 0\.\.49"):
        Tokens(good, test=held, length=10).load()


def test_files_that_are_read_as_the_wrong_dtype(tmp_path: Path) -> None:
    path = saved(tmp_path, np.full(2000, 2**16 - 1, np.uint16), "t.bin")
    with pytest.raises(InputError, match=r"vocab_size 4294967296 is out of range; is data.dtype"):
        Tokens(path, dtype="uint32").load()


def test_large_files_are_looked_at_in_pieces(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("nnxtrain.data.token_files._CHUNK", 7)
    numbers = NUMBERS.copy()
    numbers[1234] = 99
    path = saved(tmp_path, numbers.astype(np.uint16), "t.bin")
    assert Tokens(path, length=10).load().train.spec.vocab_size == 100
    with pytest.raises(InputError, match=r"token 1234 of .*t.bin is 99"):
        Tokens(path, length=10, vocab_size=99).load()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(b"abc")
    with pytest.raises(InputError, match=r"odd.bin is not a file of uint16"):
        Tokens(str(tmp_path / "odd.bin")).load()
    (tmp_path / "bad.npy").write_bytes(b"abc")
    with pytest.raises(InputError, match=r"bad.npy is not a whole .npy file"):
        Tokens(str(tmp_path / "bad.npy")).load()
    for numbers in (np.zeros(9), np.zeros((9, 2), int), np.zeros(0, int)):
        with pytest.raises(InputError, match=r"must hold whole numbers \[N\], got"):
            Tokens(saved(tmp_path, numbers, "t.npy")).load()
    with pytest.raises(InputError, match=r"data.dtype must be one of uint8, "):
        Tokens("t.bin", dtype="float32")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"data.header_bytes must not be negative"):
        Tokens("t.bin", header_bytes=-1)

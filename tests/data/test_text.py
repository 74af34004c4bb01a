from pathlib import Path

import numpy as np
import pytest

from nnxtrain.data import Text
from nnxtrain.data.source import Source
from nnxtrain.errors import InputError

WORDS = "the quick brown fox jumps over the lazy dog\r\n"


def written(folder: Path, text: str = WORDS * 50, name: str = "text.txt") -> str:
    (folder / name).write_bytes(text.encode())
    return str(folder / name)


def said(source: Source) -> str:
    """The text that the labels which count make up."""
    batch = source.batch(np.arange(len(source)))
    labels = batch["label"]
    return source.spec.tokenizer.decode(labels[batch.get("weight", np.ones(labels.shape)) == 1])


@pytest.mark.parametrize("level", ["byte", "char"])
def test_all_of_the_text_is_learned_or_predicted(tmp_path: Path, level) -> None:
    text = WORDS * 50
    splits = Text(written(tmp_path), level=level, length=16).load()
    train = round(0.8 * len(text))
    assert said(splits.train) == text[1 : 1 + (train - 1) // 16 * 16]
    assert said(splits.validation) + said(splits.test) == text[train:]
    spec = splits.train.spec
    assert spec.vocab_size == {"byte": 256, "char": len(set(WORDS))}[level]
    assert (spec.input_shape, spec.input_dtype, spec.unit) == ((16,), "int32", "sequences")
    assert spec.runtime_values() == {"input_shape": (16,), "vocab_size": spec.vocab_size}


def test_bytes_are_mapped_not_read(tmp_path: Path) -> None:
    base = Text(written(tmp_path)).load().train.streams[0]  # type: ignore[attr-defined]
    while not isinstance(base, np.memmap):
        base = base.base
    assert base.dtype == np.uint8


def test_held_out_files_and_several_training_files(tmp_path: Path) -> None:
    train = [written(tmp_path, "ab" * 20, "1.txt"), written(tmp_path, "cd" * 20, "2.txt")]
    held = written(tmp_path, "abcd" * 5, "held.txt")
    splits = Text(train, validation=held, test=[held], level="char", length=7).load()
    assert said(splits.train) == "".join("ab" * 20)[1:36] + "".join("cd" * 20)[1:36]
    assert said(splits.validation) == said(splits.test) == ("abcd" * 5)[1:]


def test_the_vocabulary_is_that_of_the_train_split(tmp_path: Path) -> None:
    path = written(tmp_path, "ab\n" * 85 + "é" + "ab\n" * 15)
    with pytest.raises(InputError, match=r"'é' \(U\+00E9\) in a held-out part.*data.level=byte"):
        Text(path, level="char", length=8).load()
    splits = Text(path, level="char", unknown=True, length=8).load()
    assert splits.train.spec.tokenizer.characters == "\nab"
    assert splits.train.spec.vocab_size == 4
    assert "\N{REPLACEMENT CHARACTER}" in said(splits.validation)


def test_long_files_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "añ漢😀" * 100)
    whole = Text(path, level="char", length=8).load()
    monkeypatch.setattr("nnxtrain.data.text._CHUNK", 7)
    assert Text(path, level="char", length=8).load().train.fingerprint == whole.train.fingerprint


def test_more_than_256_characters(tmp_path: Path) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 4
    splits = Text(written(tmp_path, text), level="char", length=10).load()
    assert splits.train.spec.vocab_size == 300
    assert said(splits.train) == text[1 : 1 + 950]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(InputError, match=r"data.train: there is no file .*did you mean 'text.txt'"):
        Text(f"{path[:-4]}.tx").load()
    with pytest.raises(InputError, match=r"data.test: .*empty.txt is empty"):
        Text(path, test=written(tmp_path, "", "empty.txt")).load()
    with pytest.raises(InputError, match=r"data.validation names no file"):
        Text(path, validation=[]).load()
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 50)
    with pytest.raises(InputError, match=r"latin.txt is not UTF-8 text .*data.level=byte"):
        Text(str(tmp_path / "latin.txt"), level="char").load()
    with pytest.raises(InputError, match=r"data.level must be byte or char, got 'word'"):
        Text(path, level="word")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"data.test_fraction must lie between 0 and 1"):
        Text(path, test_fraction=1.0).load()

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from nnxtrain.data.gzip_header import PUBLISHED_TIMES, with_published_header

FASHION = Path("/usr/share/datasets/fashion-mnist")
NAME = "t10k-labels-idx1-ubyte.gz"


def with_all_header_fields(data: bytes) -> bytes:
    plain = gzip.compress(data, mtime=0)
    fields = b"\x04\x00abcd" + b"name\0" + b"comment\0" + b"\x12\x34"
    return plain[:3] + bytes([2 | 4 | 8 | 16]) + plain[4:10] + fields + plain[10:]


@pytest.mark.parametrize("pack", [gzip.compress, with_all_header_fields])
def test_only_the_header_changes(pack: object) -> None:
    packed = pack(b"hello" * 100)  # type: ignore[operator]
    restored = with_published_header(packed, NAME)
    assert restored is not None
    assert gzip.decompress(restored) == b"hello" * 100
    assert restored[10:].startswith(NAME.removesuffix(".gz").encode() + b"\0")
    assert int.from_bytes(restored[4:8], "little") == PUBLISHED_TIMES[NAME]
    assert with_published_header(restored, NAME) == restored


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x8b\x08", b"not gzip at all, is it", b"\x1f\x8b\x08\x08" * 6]
)
def test_what_is_not_gzip_is_left_alone(data: bytes) -> None:
    assert with_published_header(data, NAME) is None


def test_a_file_without_a_published_header_is_left_alone() -> None:
    assert with_published_header(gzip.compress(b"hello"), "other.gz") is None


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_debians_file_becomes_the_published_one() -> None:
    restored = with_published_header((FASHION / NAME).read_bytes(), NAME)
    assert restored is not None
    published = "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    assert hashlib.sha256(restored).hexdigest() == published

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.data import ByteTokenizer, CharTokenizer
from nnxtrain.errors import InputError


@given(st.text())
def test_text_comes_back(text: str) -> None:
    for tokenizer in (ByteTokenizer(), CharTokenizer("".join(sorted(set(text))))):
        tokens = tokenizer.encode(text)
        assert (tokens.dtype, tokens.ndim) == (np.int32, 1)
        assert (tokens >= 0).all()
        assert (tokens < tokenizer.vocab_size).all()
        assert tokenizer.decode(tokens) == text


def test_bytes_are_those_of_utf8() -> None:
    assert ByteTokenizer().encode("aé漢").tolist() == list("aé漢".encode())
    assert ByteTokenizer().decode(np.array(list("é".encode())[:1])) == "\N{REPLACEMENT CHARACTER}"


def test_an_unknown_character_is_an_error_or_a_token() -> None:
    with pytest.raises(InputError, match=r"'ß' \(U\+00DF\) is not in the vocabulary: 'ab'"):
        CharTokenizer("ab").encode("aß")
    tokenizer = CharTokenizer("ab", unknown=True)
    assert tokenizer.vocab_size == 3
    assert tokenizer.encode("aßb").tolist() == [0, 2, 1]
    assert tokenizer.decode([0, 2, 1]) == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), CharTokenizer("ab")])
@pytest.mark.parametrize("token", [-1, 256])
def test_tokens_out_of_range(tokenizer, token: int) -> None:
    with pytest.raises(InputError, match=r"tokens lie in 0\.\."):
        tokenizer.decode([0, token])


def test_a_vocabulary_names_each_character_once() -> None:
    with pytest.raises(InputError, match="once"):
        CharTokenizer("aba")

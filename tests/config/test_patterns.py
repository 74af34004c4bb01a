import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.config.patterns import compile_pattern, matching
from nnxtrain.errors import InputError

NAMES = st.text("ab0", min_size=1, max_size=3)
PATHS = st.lists(NAMES, min_size=1, max_size=4)
PARTS = st.one_of(
    st.just("**"), st.text("ab0*?", min_size=1, max_size=3).filter(lambda s: "**" not in s),
    st.sampled_from(["[ab]", "a[!0]", "[0-9]*", "+", "a|b"]),
)  # fmt: skip


def matches(parts, path):
    """What a glob means, said part by part: the path, or a module it lies in."""
    if not parts:
        return True
    first, *rest = parts
    if first == "**":
        return matches(rest, path) or (bool(path) and matches(parts, path[1:]))
    return bool(path) and fnmatch.fnmatchcase(path[0], first) and matches(rest, path[1:])


@given(st.lists(PARTS, min_size=1, max_size=4), PATHS)
def test_a_glob_is_compared_part_by_part(parts, path):
    compiled = compile_pattern(".".join(parts))
    assert bool(compiled.fullmatch(".".join(path))) == matches(parts, path)


@given(PATHS)
def test_a_path_matches_itself_and_the_modules_it_lies_in(path):
    for depth in range(1, len(path) + 1):
        assert matching(".".join(path[:depth]), [".".join(path)])


@given(st.from_regex(r"[ab.*]{1,4}", fullmatch=True), PATHS)
def test_a_regular_expression_is_taken_as_it_is(expression, path):
    try:
        compiled = re.compile(expression)
    except re.error:
        with pytest.raises(InputError, match="is no pattern"):
            compile_pattern(f"re:{expression}")
        return
    dotted = ".".join(path)
    assert bool(compile_pattern(f"re:{expression}").fullmatch(dotted)) == bool(
        compiled.fullmatch(dotted)
    )


MODEL = ["conv1.kernel", "conv1.bias", "blocks.0.norm.scale", "head.kernel", "head.bias"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("head", MODEL[3:]),
        ("head.*", MODEL[3:]),
        ("head.kernel", [MODEL[3]]),
        ("*.bias", [MODEL[1], MODEL[4]]),
        ("**.scale", [MODEL[2]]),
        ("blocks.[0-3]", [MODEL[2]]),
        ("blocks.*.norm", [MODEL[2]]),
        ("*", MODEL),
        ("**", MODEL),
        ("re:.*(bias|scale)$", [MODEL[1], MODEL[2], MODEL[4]]),
    ],
)
def test_on_a_model(pattern, found):
    assert matching(pattern, MODEL) == found


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("haed", "'haed' matches no parameter; did you mean 'head'?"),
        ("conv2.*", "'conv2.*' matches no parameter; did you mean 'conv1.*'?"),
        ("head.kernle", "did you mean 'head.kernel'?"),
        ("head.kernel.more", "matches no parameter; did you mean 'head.kernel'"),
        ("HEAD", "'HEAD' matches no parameter (the model has conv1, blocks, head)"),
        ("re:bias", "'re:bias' matches no parameter"),
        ("re:(", "'re:(' is no pattern: missing ), unterminated subpattern at position 0"),
        ("re:", "the pattern is empty"),
        ("", "the pattern is empty"),
    ],
)
def test_a_pattern_that_matches_nothing(pattern, message):
    with pytest.raises(InputError) as caught:
        matching(pattern, MODEL)
    assert message in str(caught.value)

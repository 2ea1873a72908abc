"""JSON with lists of numbers is read as Python reads it, and lists of the same text are one object."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imdsv2.aws.number_lists import read

NUMBERS = st.integers() | st.floats(allow_nan=False)
TEXTS = st.text() | st.sampled_from(["[1, 2]", '"Values":[1]', "]", "[", "\\", "1,2"])
LISTS = st.lists(st.sampled_from([[], [0.0], [0.0, 1.0], [1e300, -2], [3] * 9]) | st.lists(NUMBERS), max_size=30)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | LISTS,
    lambda inside: st.lists(inside) | st.dictionaries(TEXTS, inside),
    max_leaves=20,
)


@given(DOCUMENTS, st.sampled_from([None, 1]), st.booleans())
@example(["[1,2]", [1, 2], {"]": [1, 2]}], None, True)
def test_every_document_is_what_python_reads(document: Any, indent: int | None, ascii_: bool) -> None:
    """However it is written, and whatever texts in it look like."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_)
    assert repr(json.loads(text)) == repr(read(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,",
        "[1,,2]",
        "[1 2]",
        "[1,]",
        "[01]",
        "[1.]",
        "[--1]",
        "[+1]",
        "[1e]",
        '{"Values":[1,2}',
        "[1]]",
        "[1\u00a0]",
        "nothing",
    ],
)
def test_what_python_refuses_is_refused(text: str) -> None:
    """With the same error, so that botocore makes of it what it makes of any."""
    with pytest.raises(ValueError, match=r".") as theirs:
        json.loads(text)
    with pytest.raises(type(theirs.value)):
        read(text)


def test_lists_of_the_same_text_are_one() -> None:
    """What most instances have takes no more memory than what one has, though others stand between them."""
    zeros, others = [0.0] * 840, [[float(number)] * 840 for number in range(1, 7)]
    results = [zeros, *others, zeros, *others, zeros]
    found = read(json.dumps(results))
    assert results == found
    assert found[0] is found[7] is found[14]


def test_only_the_last_few_are_kept_to_compare_with() -> None:
    """A page of a thousand patterns does not take twice its room."""
    found = read(json.dumps([[0.0], *([float(number)] for number in range(1, 100)), [0.0]]))
    assert found[0] == found[-1]
    assert found[0] is not found[-1]


def test_lists_go_with_the_document_that_has_them() -> None:
    """Not only once Python looks for what refers to itself: a sweep reads hundreds of pages."""
    gc.disable()
    tracemalloc.start()
    try:
        for number in range(20):
            read(json.dumps([[number + each / 7 for each in range(20_000)]]))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < 500_000

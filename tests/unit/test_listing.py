"""A packed listing says what the dictionary said that it was made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.listing import Access, Listing

IDS = st.integers(0, 40).map("i-{:017x}".format) | st.integers(0, 5).map("i-{:08x}".format)
FOUND = st.dictionaries(IDS, st.sampled_from(Access))


@given(FOUND, IDS)
def test_each_id_has_its_access(found: dict[str, Access], other: str) -> None:
    """And what is not listed has none."""
    listing = Listing(found)
    assert found == {each: listing.access(each) for each in found}
    assert found.get(other) is listing.access(other)


@given(FOUND, st.none() | IDS, st.none() | IDS)
def test_what_lies_between_two_ids_comes_in_order(
    found: dict[str, Access], after: str | None, last: str | None
) -> None:
    """Without the first, with the last, whether they are listed or not."""
    expected = [
        each
        for each in sorted(found.items())
        if (after is None or each[0] > after) and (last is None or each[0] <= last)
    ]
    assert expected == [*Listing(found).between(after, last)]

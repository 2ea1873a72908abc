"""What EC2 lists comes back in the order of the ids, page by page as it was put in or not."""

from __future__ import annotations

from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from imdsv2.sweep.facts import Facts

IDS = st.sampled_from([*(f"i-{number:017x}" for number in range(12)), "i-0000000a", "i-0000000b"])


@given(st.lists(st.lists(IDS, unique=True), max_size=5), st.sets(IDS).map(sorted))
def test_rows_of_ids_come_in_their_order(pages: list[list[str]], wanted: list[str]) -> None:
    """Those that were listed, of two pages the later one, in however many calls they are asked for."""
    known = {each: str(number) for number, page in enumerate(pages) for each in page}
    step = len(wanted) // 3 + 1
    with closing(Facts()) as facts:
        for number, page in enumerate(pages):
            facts.add({"instance_id": each, "name": f"{number}"} for each in page)
        found = [row for begin in range(0, len(wanted), step) for row in facts.of(wanted[begin : begin + step])]
    assert [{"instance_id": each, "name": known[each]} for each in wanted if each in known] == found


def test_a_text_of_any_kind_comes_back() -> None:
    """Names are what people write: with line ends, spaces and other scripts."""
    rows = [
        {"instance_id": f"i-{number}", "name": name} for number, name in enumerate(["a\nb", " ", "日本", '"{', "\x00"])
    ]
    with closing(Facts()) as facts:
        facts.add(reversed(rows))
        assert rows == [*facts.of([row["instance_id"] for row in rows])]

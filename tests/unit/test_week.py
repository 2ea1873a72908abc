"""Calls by the hour of the week, from Monday 00:00 UTC: what the file of the fleet and the ledger keep of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from imdsv2.domain.documents import evidence_document
from imdsv2.domain.evidence.values import Evidence, Use
from imdsv2.domain.evidence.weighing import _week_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def hour(*when: int) -> int:
    """Hours since 1970."""
    return int(datetime(*when, tzinfo=UTC).timestamp()) // 3600  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ((1970, 1, 1, 0), 3 * 24),
        ((2026, 11, 16, 0), 0),
        ((2026, 11, 18, 5), 2 * 24 + 5),
        ((2026, 11, 22, 23), 167),
        ((2024, 2, 29, 13), 3 * 24 + 13),
    ],
)
def test_an_hour_has_its_place_in_the_week(when: tuple[int, ...], place: int) -> None:
    """Thursday was the first day of 1970."""
    assert {place: 4} == _week_of({hour(*when): 3.2})


def test_weeks_are_added_and_silence_is_left_out() -> None:
    """The same hour of two weeks is one; hours without calls are none."""
    monday = hour(2026, 11, 9, 2)
    assert {2: 7, 3: 1} == _week_of({monday: 3, monday + 168: 4, monday + 1: 1, monday + 2: 0})


def test_the_evidence_has_them_only_where_there_were_calls() -> None:
    """An item that never called holds no more than before."""
    silent = Evidence(window_start=NOW - timedelta(days=35), window_end=NOW)
    quiet = evidence_document(silent)
    busy = evidence_document(replace(silent, use=Use(calls=9, hours=2, week={2: 5, 26: 4})))
    assert quiet is not None
    assert busy is not None
    assert "tokenless_by_hour" not in quiet
    assert "2:5 26:4" == busy["tokenless_by_hour"]

"""Times in answers are read as botocore reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.utils import parse_timestamp
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.parsing import to_time

FORMS = (
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%d %H:%M:%SZ",
    "%Y%m%dT%H%M%SZ",
    "%Y-%m-%dT%H:%M:%S+00:00",
    "%Y-%m-%dT%H:%M:%S-07:00",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%Y-%m-%d",
)


@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - the form tells the zone
    st.sampled_from(FORMS),
)
def test_every_form_is_read_as_botocore_reads_it(when: datetime, form: str) -> None:
    """Also those that take the shorter way."""
    text = when.strftime(form)
    assert parse_timestamp(text) == to_time(text)


@pytest.mark.parametrize("value", [0, 1_772_366_400, 1_772_366_400.25, "1772366400"])
def test_numbers_are_seconds(value: float | str) -> None:
    """Since 1970, as in JSON."""
    assert datetime.fromtimestamp(float(value), UTC) == to_time(value)


@pytest.mark.parametrize("value", ["", "Z", "soon", "2026-13-01T00:00:00Z", "2026-03-01T25:00:00Z", None])
def test_what_is_no_time_is_refused(value: Any) -> None:
    """As botocore does; the session makes one error of it."""
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        to_time(value)
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        parse_timestamp(value)

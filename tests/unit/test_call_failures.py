"""What a failed call says of the next: whether it may succeed, and whether it was throttled."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    InvalidRegionError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from imdsv2.aws.errors import KEYS_EXPIRED, is_throttling, may_have_been_done, may_pass
from tests.world.refusal import refusal

SDK: Any = (ThrottledRetryableChecker, TransientRetryableChecker)
THROTTLED, TRANSIENT = SDK[0]._THROTTLED_ERROR_CODES, SDK[1]._TRANSIENT_ERROR_CODES
ELSEWHERE = ["Throttled", "KMSThrottling", "KmsThrottled", "KMS.ThrottlingException", "Client.RequestLimitExceeded"]
"""SNS's, those of queues and topics whose key is throttled, and EC2's in CloudTrail's words."""


@pytest.mark.parametrize("code", [*THROTTLED, *ELSEWHERE])
@pytest.mark.parametrize("status", [400, 503])
def test_every_word_for_throttling_is_known(code: str, status: int) -> None:
    """Whatever botocore repeats for this reason. It was certainly not done."""
    error = refusal(code, "slowly", "DescribeInstances", status=status)
    assert is_throttling(error)
    assert may_pass(error)
    assert not may_have_been_done(error)


def test_too_many_requests_are_throttling_whatever_the_code() -> None:
    """A code that nobody has heard of yet."""
    assert is_throttling(refusal("AccountBusy", "no", "ListMetrics", status=429))
    assert not is_throttling(refusal("AccountBusy", "no", "ListMetrics", status=409))


@pytest.mark.parametrize("code", [*TRANSIENT, *sorted(KEYS_EXPIRED)])
def test_what_the_next_call_may_well_be_spared_passes(code: str) -> None:
    """A request that did not arrive whole; credentials that have ended, which the next invocation has anew."""
    assert may_pass(refusal(code, "no", "GetMetricData", status=400))


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AuthFailure", "OptInRequired", "InvalidParameterValue"])
def test_what_people_have_to_mend_does_not_pass(code: str) -> None:
    """A Region that is not enabled answers so, too."""
    assert not may_pass(refusal(code, "no", "DescribeInstances", status=401))


@pytest.mark.parametrize(
    "error", [ParamValidationError(report="MaxResults: too small"), InvalidRegionError(region_name="-eu-west-")]
)
def test_what_botocore_does_not_send_does_not_pass(error: Exception) -> None:
    """It would be tried every quarter of an hour for ever."""
    assert not may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://ec2"),
        ConnectTimeoutError(endpoint_url="https://ec2"),
        EndpointConnectionError(endpoint_url="https://ec2"),
    ],
)
def test_what_was_not_answered_passes(error: Exception) -> None:
    """However it was not."""
    assert may_pass(error)

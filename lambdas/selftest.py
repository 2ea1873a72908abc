"""Handler of the self-test function: one step of its state machine per invocation, and what follows if a person stops it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from imdsv2.aws.parsing import new_session
from imdsv2.aws.sessions import CONFIG
from imdsv2.selftest.home import Home, Names
from imdsv2.selftest.run import SelfTest
from invocation import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MODELS = Path(__file__).parent / "selftest_models"
"""botocore's models of what only the self-test calls; the other functions would read them at each start for nothing."""
_HOME_SERVICES = ("cloudformation", "dynamodb", "lambda", "s3", "securityhub", "ssm")

_session = new_session()
_session.get_component("data_loader").search_paths.insert(0, str(MODELS))


_FOR_FUNCTIONS = CONFIG.merge(Config(read_timeout=600, retries={"total_max_attempts": 1}))
"""Other functions answer when they are done; a second invocation would do it twice."""


def _client(service: str) -> Any:
    config = _FOR_FUNCTIONS if service == "lambda" else CONFIG
    return _session.create_client(service, region_name=os.environ["AWS_REGION"], config=config)


selftest = SelfTest(
    session=_session,
    sts=_client("sts"),
    home=Home({service: _client(service) for service in _HOME_SERVICES}, Names.from_environment(os.environ)),
    now=lambda: datetime.now(UTC),
    sleep=time.sleep,
    logger=logger,
)
_STEPS = {
    "plan": selftest.plan,
    "launch": selftest.launch,
    "act": selftest.act,
    "look": selftest.look,
    "clean_up": selftest.clean_up,
    "end_left": selftest.end_left,
    "judge": selftest.judge,
}


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Run the step that the event names, on the state that the step before handed on."""
    return _STEPS[event["step"]](event["state"])

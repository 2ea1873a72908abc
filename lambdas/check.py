"""Handler of the check function: verifies, before enforcement, that an account's roles allow what they should, and asks what Config records."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2.errors import InvalidRequest
from imdsv2.people.answer import error_document
from imdsv2.people.permissions_check import check
from imdsv2.people.recorders import PLACES, answer_recorders
from imdsv2.wiring.check import wire_member_clients
from invocation import logger, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

clients = wire_member_clients(os.environ, request_id)


@logger.inject_lambda_context
def handler(event: Any, _context: LambdaContext) -> dict[str, Any]:
    """Run the permissions check; returns EC2's answer to each dry run, and whether it is the expected one. With `places`, ask Config there."""
    try:
        if isinstance(event, dict) and PLACES in event:
            return answer_recorders(clients, event)
        return check(clients, event)
    except InvalidRequest as refused:
        return error_document(refused.code, str(refused))

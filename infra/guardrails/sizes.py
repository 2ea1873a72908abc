"""Whether the guardrails that are asked for fit into policies: Organizations refuses what is longer, in the middle of a deployment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from infra.errors import SettingRefused
from infra.guardrails.policies import LONGEST_DECLARATIVE, LONGEST_SCP, Guardrail, document

if TYPE_CHECKING:
    from infra.guardrails.options import GuardrailOptions
    from infra.names import Names

LONGEST_PARTITION = "aws-us-gov"
"""It is not known where the stack is deployed."""
_GROWS_BY = {Guardrail.CREDENTIALS: "networks", Guardrail.OPENINGS: "deployers"}
"""The field that makes a policy long."""


def check_sizes(name: str, options: GuardrailOptions, names: Names) -> None:
    """Raises SettingRefused for the first of the guardrails that does not fit. ``name``: of the setting."""
    for each in options.targets:
        most = LONGEST_DECLARATIVE if each is Guardrail.DEFAULTS else LONGEST_SCP
        text = json.dumps(document(each, options=options, names=names, partition=LONGEST_PARTITION))
        if len(text) > most:
            field = _GROWS_BY.get(each, each.value)
            takes = (
                f"makes the policy {each} {len(text):,} characters long, and {most:,} are allowed; give fewer, join networks that lie "
                "beside each other, or end names of roles with *"
            )
            raise SettingRefused(f"{name}.{field}", takes)

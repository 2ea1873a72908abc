"""The stack of the management account, or of the account to which it has delegated policies: the guardrails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, BootstraplessSynthesizer, Stack, aws_organizations

from infra.guardrails.policies import DESCRIPTIONS, document
from infra.release import stamp

if TYPE_CHECKING:
    from constructs import Construct

    from infra.settings import Settings


class GuardrailStack(Stack):
    """Deployed once in the organisation: policies, each attached to what the settings name."""

    def __init__(self, scope: Construct, *, settings: Settings) -> None:
        names = settings.names
        super().__init__(
            scope,
            names.guardrail_stack,
            stack_name=names.guardrail_stack,
            description="Keeps IMDSv1 from coming back: policies of the organisation",
            synthesizer=BootstraplessSynthesizer(),
            # The same template whoever makes it: with the command line, the CDK would add a resource of its own.
            analytics_reporting=False,
        )
        before: aws_organizations.CfnPolicy | None = None
        for guardrail, targets in settings.guardrails.targets.items():
            policy = aws_organizations.CfnPolicy(
                self,
                guardrail.capitalize(),
                name=names.of(f"guardrail-{guardrail}"),
                description=DESCRIPTIONS[guardrail],
                type=guardrail.kind,
                content=document(guardrail, options=settings.guardrails, names=names, partition=Aws.PARTITION),
                target_ids=list(targets) or None,
            )
            # Organizations refuses changes that are made at the same time.
            if before is not None:
                policy.add_dependency(before)
            before = policy
        stamp(self)

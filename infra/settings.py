"""The settings of a deployment: read from the CDK context once, validated, and immutable."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import partition_of
from infra.errors import SettingRefused
from infra.guardrails.sizes import check_sizes
from infra.names import Names
from infra.setting_checks import CHECKS
from infra.setting_names import refuse_likenesses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.capture_options import CaptureOptions
    from infra.guardrails.options import GuardrailOptions

CHINA = "cn-"
"""How the names of its Regions begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings under `context` in `cdk.json`; `-c name=value` on the command line overrides one of them."""

    policy: str
    """The initial policy document, as the JSON text that goes into the parameter."""
    member_accounts: tuple[str, ...]
    """Accounts that may put their Config events on the bus; empty with an organisation, because all of its accounts
    may."""
    organization_id: str | None
    """Nobody outside this organisation may put events on the bus, and its roles trust only accounts inside it."""
    organizational_units: tuple[str, ...]
    """Organizational units to which the stack deploys the member templates; empty: they are deployed by hand."""
    member_regions: tuple[str, ...]
    """Regions whose Config events the organisation's accounts forward; empty: the Region of the stack."""
    call_as: str
    notification_email: str | None
    """The email address to subscribe to the topic; empty: no subscription."""
    chat_messages: bool
    """Whether messages have the form that Amazon Q Developer shows in chats; mail then shows that form, too."""
    log_retention_days: int
    architecture: str
    """Of the functions' processors; Lambda does not have arm64 in every Region."""
    quota_share: float
    """The share of AWS's request quotas that the service uses; people share these quotas."""
    guardrails: GuardrailOptions
    """Policies of the organisation, in a stack of their own; empty: there are none."""
    capture: CaptureOptions | None
    """The analyzer with which instances are watched on request; None: nothing of that is deployed."""
    selftest: bool
    """Whether the state machine of the self-test, its function and its role in every account are deployed."""
    batching_window_seconds: int
    """Seconds for which findings are collected into a batch; 0: no window, and batches of ten at most."""
    config_rule_names: tuple[str, ...]
    """Names of Config rules beside those with AWS's own name in them; one that ends with `*` is a prefix."""
    sweep_concurrency: int
    """Accounts and Regions that the sweep processes at once, each in one invocation of the function."""
    remediate_concurrency: int
    """Batches of findings that are processed at once, each in one invocation of the function."""
    name_prefix: str
    """Begins every name, so that a second installation can live in the account."""
    role_prefix: str
    """Precedes the names of all roles."""
    role_path: str
    """The IAM path of all roles."""
    role_permissions_boundary: str | None
    """The name of a policy that exists in every account and bounds all roles; None: no boundary."""

    @property
    def names(self) -> Names:
        """The names of this installation."""
        return Names(prefix=self.name_prefix, role_prefix=self.role_prefix, role_path=self.role_path)

    @classmethod
    def from_context(cls, context: Mapping[str, Any], *, region: str | None = None) -> Settings:
        """Validate the settings in a CDK context. The CDK's own keys contain a colon or a slash; the service's keys
        never do. ``region``: that of the stack, where the command line knows it."""
        known = {each.name for each in fields(cls)}
        refuse_likenesses(context, known)
        given = {name: value for name, value in context.items() if name.isidentifier()}
        for name in sorted(given.keys() ^ known):
            if name in known:
                raise SettingRefused(name, "is missing; write it under context in cdk.json")
            raise SettingRefused(name, f"is no setting; known are {', '.join(sorted(known))}")
        settings = cls(**{name: CHECKS[name](name, value) for name, value in given.items()})
        settings._check_together(region)
        guardrails = replace(settings.guardrails, selftest=settings.selftest)
        check_sizes("guardrails", guardrails, settings.names)
        return replace(settings, guardrails=guardrails)

    def _check_together(self, region: str | None) -> None:
        """Refuse a setting that another setting would make ineffective, because its author expects an effect."""
        if self.organization_id is not None and self.member_accounts:
            takes = "takes no accounts beside organization_id, which lets all of its accounts in; make it []"
            raise SettingRefused("member_accounts", takes)
        if self.organization_id is None and self.organizational_units:
            raise SettingRefused("organizational_units", "needs organization_id, the organisation that they belong to")
        if self.member_regions and not self.organizational_units:
            takes = "needs organizational_units: without them nothing is deployed to members, in any Region; make it []"
            raise SettingRefused("member_regions", takes)
        if self.organizational_units and any(each.startswith(CHINA) for each in (region or "", *self.member_regions)):
            takes = "takes none in China, where StackSets of an organisation do not exist: deploy the members by hand"
            raise SettingRefused("organizational_units", f"{takes} (docs/deployment.md); make it []")
        self._check_partition(region)

    def _check_partition(self, region: str | None) -> None:
        """Refuse Regions between which nothing can be sent: an organisation, a rule and a bucket lie in one partition."""
        home = region or next(iter(self.member_regions), None)
        if home is None:
            return
        named = [*(("member_regions", each) for each in self.member_regions)]
        if self.capture is not None:
            named.append(("capture.region", self.capture.region))
        for name, each in named:
            if partition_of(each) != partition_of(home):
                takes = (
                    f"takes Regions of {home}'s partition ({partition_of(home)}), and {each} is in {partition_of(each)}"
                )
                raise SettingRefused(name, f"{takes}: deploy the service once in each partition (docs/deployment.md)")

"""The typed record of one instance: its ``current`` item in the ledger.

All attributes are listed here, with their meaning and their writer: the line (evaluates and enforces), the guard (watches and rolls
back), or people (through commands). Attributes of other versions of the service are neither read nor changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsv2.domain.exemption import LongExemption
from imdsv2.domain.history import History
from imdsv2.domain.lifecycle import NEWS, UNDER_WAY, Status
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import NOTHING_TO_DO, Reason
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.record_values import LET_GO, OPEN, OVER, UNTAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from imdsv2.domain.history import Acceptance, Answer, Hold, Undo
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding


@dataclass(frozen=True, kw_only=True)  # Without slots it is copied in a tenth of the time.
class Record:
    """The ``current`` item of an instance as it was read; ``version`` is 0 if there is none yet.

    Status, decision, reason and source are plain strings, because other versions may know other values. Times are in UTC.
    """

    arn: InstanceArn
    version: int = 0
    """Incremented by every write except those of annotations; a write is conditional on the version that was read."""
    written_by: str | None = field(default=None, compare=False)
    """The id of the last write of the item, annotations included; not known of what was just written. Ledger."""
    findings: Mapping[str, Finding] = field(default_factory=dict)
    """The findings that named the instance, by `key_of`. Set by the line, which also sets when each was annotated."""

    # The verdict. Set by the line; by the guard when it verifies or rolls back.
    status: str | None = None
    """`Status`."""
    decision: str | None = None
    """`Decision`."""
    reason: str | None = None
    """`Reason`."""
    explanation: str | None = None
    """The reason as a sentence, including what a person can do."""
    evidence: Mapping[str, Any] | None = None
    """On what the verdict rests, as `documents.evidence_document` gives it. Line."""
    proved_start: datetime | None = None
    """The last start whose two hours were observed without a call: CloudWatch forgets it, the proof stays. Line."""
    quiet_until: datetime | None = None
    """No call that CloudWatch remembered was made before then: what has been looked at need not be read again. Line."""
    unrefused_since: datetime | None = None
    unrefused_until: datetime | None = None
    """Between these no call was refused; when that was last read. Line."""
    rebooted_at: datetime | None = None
    """The last reboot through EC2 that CloudTrail told of. Line."""
    reboot_sought_at: datetime | None = None
    """When CloudTrail was last asked for one. Line."""
    missing_since: datetime | None = None
    """Since when EC2 does not know it; removed when it is seen. Line."""
    error: Mapping[str, str] | None = None
    """EC2's error: ``code`` and ``message``. Line."""
    cohort: str | None = None
    """The result of `cohort.cohort_of` when the instance was last judged; None if it is in none. Line."""
    name: str | None = None
    """The value of its tag ``Name`` when it was last judged. Line."""
    belongs_to: str | None = None
    """The value of the policy's `owner_tag` when it was last judged: messages are addressed to it. Line."""
    decided_at: datetime | None = None
    changed_at: datetime | None = None
    """When the verdict last changed: findings and people that were notified earlier are notified again."""
    revisit_at: datetime | None = None
    """When the instance is evaluated again without a request; None: only on request."""
    revisits_to_tell: bool = False
    """Whether `revisit_at` is sooner than the verdict wants, because people or findings have yet to be told. Ledger."""
    planned_revisit_at: datetime | None = None
    """When it is evaluated again once they have been told."""

    # The request and the actor.
    source: str | None = None
    """`Source`: the event source that led to the verdict."""
    request_id: str | None = None
    """The request id of the invocation that wrote it."""
    session: str | None = None
    """The name of the role session in the instance's account, as in CloudTrail."""
    caller: str | None = None
    """The name of the requester, as claimed."""
    owner: str | None = None
    """The request id of the invocation that holds the lease; until `lease_until` no other may act. Line and guard."""
    lease_until: datetime | None = None

    # The enforcement. Set by the line.
    before: Mapping[str, Any] | None = None
    """Metadata options before the change, as `documents.options_document` gives them."""
    after: Mapping[str, Any] | None = None
    enforced_at: datetime | None = None
    enforcing_at: datetime | None = None
    """Just before EC2 was asked to require tokens: refused calls count from then on."""
    endpoint_wanted_at: datetime | None = None
    """When EC2 first demanded that a change of its tokens names the endpoint; removed by any other answer. Line and guard."""
    required_seen_at: datetime | None = None
    """When tokens were last seen required, whoever required them. Line and guard."""
    confirmed: bool | None = None
    """Whether the change is known to be the service's own; False if found in place after a run had crashed."""
    approved_by: str | None = None
    """Who approved the change that was made, and in which request."""

    # Approvals and holds. Set by people; the line uses up an approval and ends a notice.
    approval: Answer | None = None
    hold: Hold | None = None
    released_by: str | None = None
    acceptance: Acceptance | None = None
    cleared_at: datetime | None = None
    """When a person said that what broke, or was opened, is settled."""
    cleared_by: str | None = None
    mended_at: datetime | None = None
    """When, by a person's word, its updated software was started or rebooted: its evidence begins there."""
    mended_by: str | None = None
    undone_at: datetime | None = None
    """When a person had it put back. Guard."""
    undone_by: str | None = None
    notice_ends_at: datetime | None = None
    """The end of the notice that was delivered to `told_owner`, who may object until then. Set with `notified_at`. Line."""
    told_owner: str | None = None
    ends_on: date | None = None
    """The last day of the exemption or hold that is in force. Line."""
    reminder: str | None = None
    """``ends`` or ``ended``: the reminder that is due; ``cut``: that an exemption is longer than the policy allows. Line."""
    exemption_until: date | None = None
    """The day on the exempt tag, where the policy does not follow it so far; kept, so that its time is not counted anew. Line."""
    exemption_seen_at: datetime | None = None
    """When that day was first seen on the tag: from then on the policy's `max_exemption_days` count. Line."""
    reminded_of: date | None = None
    """The `ends_on` of the last advance reminder. Line."""
    notified_at: datetime | None = None
    """When people were last notified of the verdict, which is the last step of the line; or that was left to the digest."""

    # The watch. Started by the line, then set by the guard.
    watch: str | None = None
    """`OPEN` or `OVER`."""
    canary: bool = False
    """Whether the instance is a canary of its cohort. Line."""
    canary_lost: bool = False
    """Whether the canary stopped, is gone or cannot be read, and therefore proves nothing for its cohort."""
    restarted_at: datetime | None = None
    """Its first start since the enforcement."""
    clean_at: datetime | None = None
    """When the instance had stayed clean for the hours required of a canary."""
    verified_at: datetime | None = None
    unseen_since: datetime | None = None
    """Since when the instance could not be read."""

    # What broke, and the way back. Set by the guard; `undo` by people.
    probe_at: datetime | None = None
    """The last refused call of which people were told without putting it back: too few to be breakage."""
    broken_at: datetime | None = None
    left_because: str | None = None
    """Why it was not rolled back (``unproven``: the watch ended without proof of health)."""
    untagged_at: datetime | None = None
    """When the service's tag was first seen to be gone from an enforced instance; people are told once."""
    left_at: datetime | None = None
    """When EC2 last rejected the rollback."""
    undo: Undo | None = None
    """A person's request to roll the instance back; removed when done."""
    status_before: str | None = None
    """The status before the rollback began."""
    returned_at: datetime | None = None
    """When EC2 accepted a rollback that it did not show at once."""
    rolled_back_at: datetime | None = None
    owes: frozenset[str] = frozenset()
    """`COUNT`, `TAG` and `UNTAG`, as far as they have yet to be done, by whoever comes first. Written with what causes them. What is
    owed for a rollback, notes and messages included, keeps the watch open, and a pass of the guard does it; `UNTAG` is done when the
    instance is judged again."""

    @property
    def history(self) -> History:
        return History(
            enforced_at=self.enforced_at,
            confirmed=bool(self.confirmed),
            rolled_back_at=self.rolled_back_at,
            undone_at=self.undone_at,
            undone_by=self.undone_by,
            required_seen_at=self.required_seen_at,
            cleared_at=self.cleared_at,
            mended_at=self.mended_at,
            rebooted_at=self.rebooted_at,
            reboot_sought_at=self.reboot_sought_at,
            proved_start=self.proved_start,
            missing_since=self.missing_since,
            quiet_until=self.quiet_until,
            unrefused_since=self.unrefused_since,
            unrefused_until=self.unrefused_until,
            hold=self.hold,
            acceptance=self.acceptance,
            long_exemption=self.long_exemption,
        )

    @property
    def long_exemption(self) -> LongExemption | None:
        if self.exemption_until is None or self.exemption_seen_at is None:
            return None
        return LongExemption(until=self.exemption_until, seen_at=self.exemption_seen_at)

    @property
    def is_broken(self) -> bool:
        """Whether software broke after the change and no person has cleared the instance since."""
        return self.broken_at is not None and (self.cleared_at is None or self.cleared_at < self.broken_at)

    @property
    def is_watched(self) -> bool:
        """Whether the guard's watch is still open."""
        return self.watch == OPEN

    @property
    def is_let_go(self) -> bool:
        """Whether its watch is open only for what the record owes: there is nothing more to find out."""
        return self.is_watched and (self.is_put_back or self.left_because in LET_GO)

    @property
    def is_put_back(self) -> bool:
        """Whether it was put back after its last enforcement, whatever has held it since: a hold by a person, an exemption."""
        if self.history.put_back_at is None or self.stands or self.status in UNDER_WAY:
            return False
        return self.enforced_at is None or self.enforced_at <= self.history.put_back_at

    @property
    def stands(self) -> bool:
        """Whether the service enforced the instance and, according to the ledger, has not rolled it back since."""
        return self.status in {Status.ENFORCED, Status.VERIFIED}

    @property
    def is_to_go_back(self) -> bool:
        """Whether a rollback is unfinished, or a person has requested one."""
        return self.status == Status.ROLLING_BACK or self.undo is not None

    @property
    def awaits_canary_proof(self) -> bool:
        """Whether the instance is a canary that has not yet been clean for long enough."""
        return self.canary and self.clean_at is None

    def no_longer_watched(self) -> Record:
        """The record with an open watch closed; unchanged if there is none, or if it still owes something."""
        return replace(self, watch=OVER) if self.is_watched and not self.owes - {UNTAG} else self

    @property
    def is_unfinished(self) -> bool:
        """Whether an enforcement was left in doubt, or left its tag behind: one invocation takes it over, under a new lease."""
        return self.status == Status.ENFORCING or UNTAG in self.owes

    def is_leased(self, now: datetime) -> bool:
        """Whether another invocation holds an unexpired lease on the instance: no one else may change it."""
        return self.lease_until is not None and now < self.lease_until

    def is_busy(self, now: datetime) -> bool:
        """Whether the instance is being changed; an unfinished rollback counts too: only the guard finishes it. Nor is it finished
        before people have heard of it: another verdict would take its place, and be told instead."""
        is_untold = self.status == Status.ROLLED_BACK and self.owes_notification()
        return self.is_leased(now) or self.status == Status.ROLLING_BACK or is_untold

    def owed_notes(self) -> dict[str, Finding]:
        """Findings, by key, that do not have the note of the current verdict yet."""
        return {
            key: finding
            for key, finding in self.findings.items()
            if finding.annotated_at is None or (self.changed_at is not None and finding.annotated_at < self.changed_at)
        }

    @property
    def owes_notice(self) -> bool:
        return self.reason == Reason.NOTICE_GIVEN and self.notice_ends_at is None

    def owes_notification(self) -> bool:
        """Whether people have not been notified of the current verdict yet."""
        if self.notified_at is None or self.owes_notice:
            return True
        return self.changed_at is not None and self.notified_at < self.changed_at

    @property
    def has_news(self) -> bool:
        """Whether there is something about it that people are notified of."""
        is_said = self.left_because is not None or self.reminder is not None or self.reason == Reason.NOTICE_GIVEN
        return is_said or (self.status in NEWS and not (self.status == Status.HELD and self.reason in NOTHING_TO_DO))

    @property
    def owes_telling(self) -> bool:
        """Whether people, or findings, have not been told of the current verdict yet."""
        return bool(self.owed_notes()) or (self.has_news and self.owes_notification())

    def is_echo(self, finding: Finding) -> bool:
        """Whether this state of the finding, or a newer one, has already led to a final verdict."""
        known = self.findings.get(key_of(finding, self.findings))
        if known is None or known.updated_at is None or finding.updated_at is None:
            return False
        return finding.updated_at <= known.updated_at

"""What the ledger knows of one instance: its ``current`` item, typed.

Every attribute is here, with its meaning and who sets it: the line (judges and enforces), the guard (watches and rolls
back), or people (commands). The item may hold attributes of another version of the service: they are neither read nor
touched.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imdsv2.domain.history import History
from imdsv2.domain.lifecycle import UNDER_WAY, Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from imdsv2.domain.history import Acceptance, Answer, Hold, Undo
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding

OPEN, OVER = "open", "done"
"""Whether the guard's watch of an enforced instance goes on. They begin the sort key of the index of what was enforced."""

VERDICT = (
    "status",
    "decision",
    "reason",
    "explanation",
    "error",
    "source",
    "request_id",
    "session",
    "caller",
)
"""What the event of a new verdict says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The ``current`` item of an instance as it was read; ``version`` 0 where there is none yet.

    Words of a fixed vocabulary (status, decision, reason, source) are plain strings: a later version may know others.
    Times are in UTC.
    """

    arn: InstanceArn
    version: int = 0
    """Counts the writes that change anything but notes on findings; a write needs the one that was read."""
    findings: Mapping[str, Finding] = field(default_factory=dict)
    """The findings that named it, by `key_of`. Set by the line; when each was annotated, by its last step."""

    # The verdict. Set by the line; by the guard where it verifies or rolls back.
    status: str | None = None
    """`Status`."""
    decision: str | None = None
    """`Decision`."""
    reason: str | None = None
    """`Reason`."""
    explanation: str | None = None
    """The reason as a sentence, with what a person can do."""
    evidence: Mapping[str, Any] | None = None
    """On what the verdict rests, as `documents.evidence_document` gives it. Line."""
    proved_start: datetime | None = None
    """The last start whose two hours were observed without a call: CloudWatch forgets it, the proof stays. Line."""
    error: Mapping[str, str] | None = None
    """EC2's refusal: ``code`` and ``message``. Line."""
    cohort: str | None = None
    """`cohort.cohort_of` when it was last seen. Line."""
    decided_at: datetime | None = None
    changed_at: datetime | None = None
    """When the verdict last became another one: notes and messages that are older are owed anew."""
    revisit_at: datetime | None = None
    """When it is judged again without being asked; None: only when asked."""

    # Who asked, and who acted.
    source: str | None = None
    """`Source`: the way in that led to the verdict."""
    request_id: str | None = None
    """Of the invocation that wrote it."""
    session: str | None = None
    """Of the role in the instance's account, which CloudTrail shows."""
    caller: str | None = None
    """The person who asked, as claimed."""
    owner: str | None = None
    """The invocation that is changing the instance, with `lease_until`: until then nobody else may. Line and guard."""
    lease_until: datetime | None = None

    # The enforcement. Set by the line.
    before: Mapping[str, Any] | None = None
    """Metadata options before the change, as `documents.options_document` gives them."""
    after: Mapping[str, Any] | None = None
    enforced_at: datetime | None = None
    enforcing_at: datetime | None = None
    """Just before EC2 was asked to require tokens: refused calls count from then on."""
    required_seen_at: datetime | None = None
    """When tokens were last seen required, whoever required them. Line and guard."""
    confirmed: bool | None = None
    """Whether it was seen to be our own change; False where a run died and tokens were found required afterwards."""
    approved_by: str | None = None
    """Who approved the change that was made, and by which request."""

    # What holds or allows it. Set by people; an approval is spent, and a notice ended, by the line.
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
    """Until when the owner (`told_owner`) may object to the change that was announced. Line."""
    told_owner: str | None = None
    ends_on: date | None = None
    """The last day of the exemption or hold that holds it. Line."""
    reminder: str | None = None
    """``ends`` or ``ended``: what people are to be reminded of. Line."""
    reminded_of: date | None = None
    """The `ends_on` of which people have been reminded beforehand. Line."""
    notified_at: datetime | None = None
    """When people were last told of the verdict. Line's last step."""

    # The watch. Set by the guard; begun by the line.
    watch: str | None = None
    """`OPEN` or `OVER`."""
    canary: bool = False
    """Whether its cohort waits for it. Line."""
    canary_lost: bool = False
    """Whether it has stopped, gone, or cannot be seen, and so proves nothing to its cohort."""
    restarted_at: datetime | None = None
    """Its first start since the enforcement."""
    clean_at: datetime | None = None
    """When it had been clean for a canary's hours."""
    verified_at: datetime | None = None
    unseen_since: datetime | None = None
    """Since when nobody has been able to look at it."""

    # What broke, and the way back. Set by the guard; `undo` by people.
    probe_at: datetime | None = None
    """The last refused call of which people were told without putting it back: too few to be breakage."""
    broken_at: datetime | None = None
    left_because: str | None = None
    """Why it was not put back (``unproven``: the watch ended without proof)."""
    left_at: datetime | None = None
    """When EC2 last refused to put it back."""
    undo: Undo | None = None
    """A person's wish that it be put back, until that is done."""
    status_before: str | None = None
    """The status that a rollback began from."""
    rolled_back_at: datetime | None = None

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
            proved_start=self.proved_start,
            hold=self.hold,
            acceptance=self.acceptance,
        )

    @property
    def is_broken(self) -> bool:
        """Whether software broke after the change, and no person has cleared that since."""
        if self.broken_at is None:
            return False
        return self.cleared_at is None or self.cleared_at < self.broken_at

    @property
    def is_watched(self) -> bool:
        """Whether the guard looks after it."""
        return self.watch == OPEN

    @property
    def stands(self) -> bool:
        """Whether we enforced it and, as far as the ledger knows, left it at that; watched or not."""
        return self.status in {Status.ENFORCED, Status.VERIFIED}

    @property
    def is_to_go_back(self) -> bool:
        """A rollback that was left behind, or one that a person asked for."""
        return self.status == Status.ROLLING_BACK or self.undo is not None

    @property
    def awaits_canary_proof(self) -> bool:
        """Whether it is a canary that has yet to prove itself."""
        return self.canary and self.clean_at is None

    def cleared(self, now: datetime) -> Record:
        """The record as a person who clears it now wants it to be read."""
        return replace(self, cleared_at=now)

    def no_longer_watched(self) -> Record:
        """The record once the watch of an earlier enforcement has ended; unchanged where there was none."""
        return replace(self, watch=OVER) if self.is_watched else self

    def is_leased(self, now: datetime) -> bool:
        """Whether somebody is between the ledger and EC2, under a lease that is not over: nobody else may touch the instance."""
        return self.status in UNDER_WAY and self.lease_until is not None and now < self.lease_until

    def is_busy(self, now: datetime) -> bool:
        """Whether somebody is changing the instance; a rollback that was left behind is the guard's to finish."""
        return self.is_leased(now) or self.status == Status.ROLLING_BACK

    def owed_notes(self) -> dict[str, Finding]:
        """Findings, by key, that do not bear the note of the present verdict."""
        return {
            key: finding
            for key, finding in self.findings.items()
            if finding.annotated_at is None or (self.changed_at is not None and finding.annotated_at < self.changed_at)
        }

    def owes_notification(self) -> bool:
        """Whether people have not been told of the present verdict."""
        if self.notified_at is None:
            return True
        return self.changed_at is not None and self.notified_at < self.changed_at

    def is_echo(self, finding: Finding) -> bool:
        """Whether this very state of the finding has already led to a final verdict."""
        known = self.findings.get(key_of(finding))
        if known is None or known.updated_at is None or finding.updated_at is None:
            return False
        return finding.updated_at <= known.updated_at

    def same_verdict(self, other: Record) -> bool:
        return (self.status, self.decision, self.reason) == (other.status, other.decision, other.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A record to write, only if nobody else has changed it since ``before`` was read.

    What differs is written, and nothing else. ``findings`` are merged into the map one by one, never replacing the
    others. ``says``: the attributes that the event of a new status bears.
    """

    before: Record
    after: Record
    findings: tuple[Finding, ...] = ()
    says: tuple[str, ...] = ("status",)

    @property
    def arn(self) -> InstanceArn:
        return self.before.arn

    def applied(self) -> Record:
        """The record as it is once this is written."""
        findings = {**self.before.findings, **{key_of(finding): finding for finding in self.findings}}
        return replace(self.after, version=self.before.version + 1, findings=findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """An instance that was enforced, as the index of those knows it; it may be behind by moments.

    ``asked_back``: a person has asked for it to be put back. ``broken``: its software broke.
    """

    arn: InstanceArn
    status: str
    enforced_at: datetime
    restarted_at: datetime | None
    cohort: str | None
    asked_back: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Whom a record's verdict has reached: findings by their key in the map, and the people behind the topic."""

    record: Record
    annotated: frozenset[str] = frozenset()
    notified: bool = False


def key_of(finding: Finding) -> str:
    """Where a finding stands in the map: ids are too long and too free to be attribute names."""
    return hashlib.sha256(finding.id.encode()).hexdigest()[:32]

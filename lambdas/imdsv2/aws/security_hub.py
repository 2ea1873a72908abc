"""The findings behind a verdict: whether one is suppressed, and the service's note on them.

Both versions of Security Hub are supported: the older (ASFF) and V2 (OCSF, operations that end in V2). A note never
resolves, reopens or suppresses a finding; that is left to Security Hub and to people.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error, error_code, may_pass
from imdsv2.aws.findings import INVALID, NOT_ENABLED, Findings, key_in_hub
from imdsv2.aws.pages import listed
from imdsv2.domain.batches import batched
from imdsv2.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from aws_lambda_powertools import Logger
    from mypy_boto3_securityhub import SecurityHubClient

    from imdsv2.aws.findings import Key, Looked
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding

_SERVICE = "imdsv2-remediation"
UPDATED_BY = f"{_SERVICE} {VERSION}"
"""Who writes notes, and of which version: its own field in the older hub; the newer one has none, so that it ends the comment."""
_SIGNATURE = f" ({UPDATED_BY})"
NOTE_LENGTH = 512 - len(_SIGNATURE)
"""A note has at most 512 characters (Security Hub API reference, BatchUpdateFindings and BatchUpdateFindingsV2)."""

_FINDINGS_AN_UPDATE = 100
_WILL_NOT = {"FindingNotFound", "InvalidInput", "ResourceNotFoundException", "ValidationException"}
"""Error codes of single findings: another call would be answered in the same way."""
_V2_IN_PROGRESS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Why the findings of an instance keep it from being changed. ``may_pass``: nothing is known of them at present."""

    why: str
    may_pass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """What became of notes. ``done``: findings that have theirs. ``refused``: those of which Security Hub will not have one."""

    done: set[Finding] = field(default_factory=set)
    refused: set[Finding] = field(default_factory=set)


class SecurityHub:
    """Security Hub in the home Region, which aggregates the findings of all accounts and linked Regions."""

    def __init__(self, client: SecurityHubClient, logger: Logger) -> None:
        self._client = client
        self._findings = Findings(client, logger)
        self._logger = logger

    def suppressed(self, findings: Mapping[InstanceArn, Iterable[Finding]]) -> dict[InstanceArn, Closed]:
        """Instances with a suppressed finding, or whose findings cannot be read, each with an explanation.

        Both hubs are asked about every finding: where both are on, they have the same finding under the same id, a person may have
        suppressed it in either, and what was suppressed before the service came is told by no event.
        """
        several = {arn: {key_in_hub(each) for each in given} for arn, given in findings.items()}
        beside = {key for keys in several.values() for key in self._in_the_other_hub(keys)}
        looked = self._findings.look(sorted(beside.union(*several.values())))
        return {arn: closed for arn, keys in several.items() if (closed := _closed(keys, looked)) is not None}

    def _in_the_other_hub(self, keys: Iterable[Key]) -> Iterator[Key]:
        """The same findings in the hub that has not told of them, unless that is known to be off."""
        for is_v2, finding_id in keys:
            if not self._findings.is_off(is_v2=not is_v2):
                yield not is_v2, finding_id

    def suppressed_of(self, control: str) -> Iterator[tuple[bool, dict[str, Any]]]:
        """Every active finding of a control that somebody has suppressed, as its hub has it, and whether that is the newer one. Raises
        one of CALL_FAILURES where a hub cannot be asked now."""
        for is_v2 in (False, True):
            yield from ((is_v2, each) for each in self._findings.suppressed(control, is_v2=is_v2))

    def annotate(self, texts: Mapping[Finding, str], accounts: Mapping[Finding, str], *, workflow: bool) -> Annotated:
        """Write each finding's note; if ``workflow``, also change the status NEW to NOTIFIED.

        Findings with the same text share their calls. Never raises. Failures are logged; those that are neither done nor
        refused may succeed later.
        """
        notes = {
            each: text if len(text) <= NOTE_LENGTH else text[: NOTE_LENGTH - 3] + "..." for each, text in texts.items()
        }
        old = {each: note for each, note in notes.items() if not each.is_v2}
        new = {each: f"{note}{_SIGNATURE}" for each, note in notes.items() if each.is_v2}
        annotated = Annotated()
        for notes in (old, new):
            self._annotate_in_one_hub(notes, accounts, annotated, workflow=workflow)
        return annotated

    def _annotate_in_one_hub(
        self, notes: Mapping[Finding, str], accounts: Mapping[Finding, str], annotated: Annotated, *, workflow: bool
    ) -> None:
        looked = self._findings.look(key_in_hub(each) for each in notes)
        for problem in sorted({describe_error(error) for error in looked.unread.values()}):
            unread = {"problem": problem, "findings": len(looked.unread)}
            self._logger.warning("findings not annotated", extra=unread)
        notes = {each: note for each, note in notes.items() if key_in_hub(each) not in looked.unread}
        seen = {each: there for each in notes if (there := looked.seen.get(key_in_hub(each))) is not None}
        annotated.done.update({each for each, note in notes.items() if each in seen and seen[each].note == note})
        due: dict[tuple[str, bool], list[Finding]] = defaultdict(list)
        for each, note in notes.items():
            if each not in annotated.done:
                due[note, workflow and each in seen and seen[each].is_new].append(each)
        for (note, new), chosen in sorted(due.items(), key=lambda item: item[0][1]):
            for batch in batched(chosen, _FINDINGS_AN_UPDATE):
                if not self._update(batch, accounts, note, annotated, new=new):
                    return  # Each further call would wait as long.

    def _update(
        self,
        batch: Sequence[Finding],
        accounts: Mapping[Finding, str],
        note: str,
        annotated: Annotated,
        *,
        new: bool,
    ) -> bool:
        """Write one note. Returns whether Security Hub has answered."""
        try:
            if batch[0].is_v2:
                refused = self._update_v2(batch, accounts, note, new=new)
            else:
                refused = self._update_v1(batch, note, new=new)
        except CALL_FAILURES as error:
            if error_code(error) in INVALID and len(batch) > 1:
                # One finding has made the call invalid for all.
                halves = batched(batch, -(-len(batch) // 2))
                return all(self._update(half, accounts, note, annotated, new=new) for half in halves)
            problem = {"problem": describe_error(error), "findings": [each.id for each in batch]}
            self._logger.warning("findings not annotated", extra=problem)
            if error_code(error) in NOT_ENABLED | INVALID:
                annotated.refused.update(batch)
            return isinstance(error, ClientError)
        for finding_id, code in refused.items():
            self._logger.warning("finding not annotated", extra={"finding": finding_id, "problem": code})
        if "" in refused:
            return True  # It does not say which: the next look shows who has the note.
        annotated.done.update(each for each in batch if each.id not in refused)
        annotated.refused.update(each for each in batch if refused.get(each.id) in _WILL_NOT)
        return True

    def _update_v1(self, batch: Sequence[Finding], note: str, *, new: bool) -> dict[str, str]:
        workflow: Any = {"Workflow": {"Status": "NOTIFIED"}} if new else {}
        answer = self._client.batch_update_findings(
            FindingIdentifiers=[{"Id": each.id, "ProductArn": each.product_arn} for each in batch],
            Note={"Text": note, "UpdatedBy": UPDATED_BY},
            **workflow,
        )
        return _unprocessed(answer, "Id")

    def _update_v2(
        self, batch: Sequence[Finding], accounts: Mapping[Finding, str], note: str, *, new: bool
    ) -> dict[str, str]:
        status: Any = {"StatusId": _V2_IN_PROGRESS} if new else {}
        answer = self._client.batch_update_findings_v2(
            FindingIdentifiers=[
                {"CloudAccountUid": accounts[each], "FindingInfoUid": each.id, "MetadataProductUid": each.product_arn}
                for each in batch
            ],
            Comment=note,
            **status,
        )
        return _unprocessed(answer, "FindingInfoUid")


def _unprocessed(answer: Mapping[str, Any], name: str) -> dict[str, str]:
    """The error of each finding that an update left out, by the id that is called ``name`` there; "" where none is named. Raises
    ResponseParserError where it does not say which it left out."""
    return {
        each.get("FindingIdentifier", {}).get(name, ""): each.get("ErrorCode", "unprocessed")
        for each in listed(answer, "UnprocessedFindings")
    }


def _closed(heard: Collection[Key], looked: Looked) -> Closed | None:
    """``heard``: the findings in the hubs that told of them."""
    in_both = [(is_v2, finding_id) for finding_id in sorted({each for _, each in heard}) for is_v2 in (False, True)]
    for key in in_both:
        if key in looked.seen and looked.seen[key].is_suppressed:
            return Closed(
                why=f"Somebody has suppressed its finding {key[1]}; set that back to NEW or NOTIFIED to have it remediated."
            )
    for key in in_both:
        error = looked.unread.get(key)
        if error is not None and (key in heard or _may_have_it(key, error)):
            why = f"Whether somebody has suppressed its finding cannot be read ({describe_error(error)}); it is asked again."
            return Closed(why=why, may_pass=may_pass(error))
    return None


def _may_have_it(key: Key, error: Exception) -> bool:
    """Whether a hub that has not told of a finding, and gave no answer, may have it all the same. The newer one is not to be had
    everywhere, and AWS does not say with which error it is missing."""
    is_v2, _ = key
    return not is_v2 or may_pass(error)

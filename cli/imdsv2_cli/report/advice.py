"""What to do about each reason for which an instance still allows IMDSv1, in a few words."""

from __future__ import annotations

from imdsv2.domain.verdict import Reason
from imdsv2_cli.fleet.joined import NOT_JUDGED

ADVICE: dict[Reason, str] = {
    Reason.UNUSED: "Nothing: the service requires tokens in enforce mode.",
    Reason.COHORT_UNUSED: "Nothing: the service requires tokens in enforce mode.",
    Reason.V1_IN_USE: "Update the software that makes the calls.",
    Reason.V1_REFUSED: "Update the software that made the calls, restart it, then: imdsv2 mended.",
    Reason.COHORT_USES_V1: "Update the software where these instances come from.",
    Reason.V1_RECURS: "Wait until the date in the explanation, or update the software, then: imdsv2 mended.",
    Reason.V1_AT_BOOT: "Update what runs at boot, then restart the instance.",
    Reason.HOP_LIMIT_FALLBACK: "Raise the hop limit to 2, or update the containers.",
    Reason.NO_EVIDENCE: "Wait, or find out why CloudWatch has no datapoints.",
    Reason.STOPPED_TOO_LONG: "Start it, or terminate it.",
    Reason.TOO_YOUNG: "Wait: it has not been observed for long enough.",
    Reason.BOOT_NOT_OBSERVABLE: "Reboot it through EC2, or stop and start it; after a reboot from inside: imdsv2 mended.",
    Reason.EVIDENCE_INCOMPLETE: "Nothing: CloudWatch is asked again.",
    Reason.CHANGED_BACK: "Someone made tokens optional again: settle that, then: imdsv2 clear.",
    Reason.UNDONE_BY_PERSON: "When the reason is settled: imdsv2 clear.",
    Reason.NOT_READY: "Nothing: it is looked at again in minutes.",
    Reason.EXEMPT: "Nothing until the exemption ends.",
    Reason.EXEMPTION_UNREADABLE: "Write the exempt tag's value as YYYY-MM-DD.",
    Reason.UNREACHABLE: "Deploy the member roles in that account, or exclude it.",
    Reason.MANAGED_ELSEWHERE: "Change the options where they are managed.",
    Reason.UNTAGGABLE: "Remove one of its 50 tags.",
    Reason.HELD_BY_PERSON: "When the reason is settled: imdsv2 release.",
    Reason.BROKE_BEFORE: "Update the software, then: imdsv2 clear.",
    Reason.SWITCHED_OFF: "The policy's mode is off: imdsv2 policy set mode=enforce.",
    Reason.POLICY_UNREADABLE: "Correct the policy: imdsv2 policy check.",
    Reason.SUPPRESSED: "Its finding is suppressed: set it back to NEW if that is settled.",
    Reason.BREAKER_OPEN: "Find out why changes were rolled back, then: imdsv2 close-breaker.",
    Reason.APPROVAL_REQUIRED: "imdsv2 approve, or imdsv2 refuse.",
    Reason.NOTICE_GIVEN: "Wait for the notice to end, or: imdsv2 hold.",
    Reason.CANARY_WAIT: "Nothing: it waits for the canaries of its cohort.",
    Reason.CALENDAR_CLOSED: "Nothing: it waits for the change calendar.",
    Reason.CAP_REACHED: "Nothing: it waits for its turn.",
    Reason.OUT_OF_SCOPE: "The policy leaves it out.",
    Reason.ENDPOINT_DISABLED: "Nothing: nobody can call its metadata endpoint.",
    Reason.ALREADY_REQUIRED: "Nothing: tokens are required.",
    Reason.GONE: "Nothing: it no longer exists.",
}


def advice(reason: str) -> str:
    """What to do; empty for a reason that this version does not know."""
    if reason == NOT_JUDGED:
        return "The next sweep judges it: imdsv2 sweep."
    try:
        return ADVICE[Reason(reason)]
    except ValueError:
        return ""

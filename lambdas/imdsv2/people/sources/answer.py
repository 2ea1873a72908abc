"""Sources as JSON-compatible dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.documents import to_seconds
from imdsv2.source.effect import REQUIRED
from imdsv2.source.remedies import remedies_of, remedies_of_image
from imdsv2.source.verdict import SourceVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.aws.launchers import Launcher
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.fix.run import Ended
    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import Launch
    from imdsv2.source.launching import Image
    from imdsv2.source.remedy import Remedy
    from imdsv2.source.verdict import Judged

_INSTANCES_SHOWN = 20
_NOW, _LATER = "now", "when the hold has ended"
_WITH_ALL = "when every source that uses the AMI may be fixed"


def source_document(source: Source, judged: Judged, launchers: Mapping[InstanceArn, Launcher]) -> dict[str, Any]:
    """One entry of ``results``."""
    running = source.running
    return {
        "account": source.place.account,
        "region": source.place.region,
        "kind": source.origin.kind,
        "name": source.origin.name,
        "within": source.origin.within or None,
        "arn": source.arn,
        "group": source.origin.group or None,
        "http_tokens": source.tokens,
        "launches": [_launch(each) for each in source.launches],
        "own_template": _launch(source.own) if source.own else None,
        "running": len(running),
        "allowing_imdsv1": sum(each.options.http_tokens != REQUIRED for each in running),
        "instances": [each.arn.instance_id for each in source.instances[:_INSTANCES_SHOWN]],
        "launched_by": [
            {
                "target": str(each.arn),
                "principal": launchers[each.arn].principal,
                "at": to_seconds(launchers[each.arn].at),
                "user_agent": launchers[each.arn].user_agent,
            }
            for each in source.instances
            if each.arn in launchers
        ],
        "owners": [
            {"of": what, "manager": owner.manager, "stack": owner.stack or None, "logical_id": owner.logical_id or None}
            for what, owner in source.owners.items()
        ],
        "verdict": judged.verdict,
        "explanation": judged.explanation,
        "held": [
            {"target": str(arn), "reason": reason} for arn, reason in list(judged.held.items())[:_INSTANCES_SHOWN]
        ],
        "remedies": _remedies(source, judged),
    }


def fix_document(ended: Ended) -> dict[str, Any]:
    """What became of a source, or would: ``fix`` in its entry, and the whole of an undo's."""
    fix = ended.fix
    return {
        "status": ended.status,
        "reason": ended.reason,
        "explanation": ended.why,
        "versions": [
            {
                "template": each.template,
                "name": each.name,
                "before": each.base,
                "made": each.made,
                "default_before": each.default if each.moves_default else None,
            }
            for each in (fix.steps if fix is not None else ())
        ],
        "group": (fix.group or None) if fix is not None else None,
    }


def _remedies(source: Source, judged: Judged) -> list[dict[str, Any]]:
    if judged.verdict is SourceVerdict.ALREADY_REQUIRED:
        return []
    when = _NOW if judged.verdict is SourceVerdict.FIX_SOURCE else _LATER
    return [_remedy(each, when) for each in remedies_of(source)]


def _remedy(remedy: Remedy, when: str) -> dict[str, Any]:
    return {
        "language": remedy.language,
        "apply": when,
        "says": remedy.says,
        "replaces_running_instances": remedy.replaces,
        "text": remedy.text,
    }


def _launch(launch: Launch) -> dict[str, Any]:
    template = None
    if launch.ref is not None:
        template = {
            "id": launch.template.id if launch.template else launch.ref.id or None,
            "name": launch.template.name if launch.template else launch.ref.name or None,
            "version": launch.ref.version,
            "resolved": launch.version.number if launch.version else None,
            "instance_types": list(launch.ref.types),
        }
    return {
        "what": launch.what,
        "http_tokens": launch.effect.tokens,
        "because": launch.effect.because,
        "past": launch.past,
        "template": template,
        "image": launch.image.id if launch.image else None,
    }


def image_document(image: Image, users: Sequence[tuple[Source, Judged]]) -> dict[str, Any]:
    """One entry of ``images``: an AMI of the account's own that does not require tokens, with the sources that use it and the verdict on
    each by its own instances."""
    place = users[0][0].place
    return {
        "account": place.account,
        "region": place.region,
        "image": image.id,
        "name": image.name or None,
        "used_by": [
            {"kind": source.origin.kind, "name": source.origin.name, "verdict": judged.verdict}
            for source, judged in users
        ],
        "remedies": [_remedy(each, _WITH_ALL) for each in remedies_of_image(image, place.region)],
    }

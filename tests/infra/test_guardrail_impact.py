"""What the impact check names is what an IAM evaluator denies under the guardrails, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.evidence.pool import Trace
from imdsv2.source.impact import Guardrail as Named
from imdsv2.source.impact import Known, exposed, impact, of_concern, unclear
from imdsv2.source.origin import TEMPLATE_TAG, VERSION_TAG, Kind
from imdsv2.source.verdict import Word
from infra.guardrails.options import GuardrailOptions
from infra.guardrails.policies import Guardrail
from tests.infra.guardrail_requests import LAUNCHED, OBJECT, Asked, denied
from tests.unit.source_builders import TEMPLATE, found, instance, source_of, template, versions, with_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.source.assembly import Source

SAID: dict[str, dict[str, Any]] = {
    "required": {"HttpTokens": "required"},
    "optional": {"HttpTokens": "optional"},
    "nothing": {},
    "required, 2 hops": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    "required, 3 hops": {"HttpTokens": "required", "HttpPutResponseHopLimit": 3},
    "closed": {"HttpEndpoint": "disabled"},
    "closed, required": {"HttpEndpoint": "disabled", "HttpTokens": "required"},
    "hops only": {"HttpPutResponseHopLimit": 1},
}
KEYS = {
    "HttpTokens": "ec2:MetadataHttpTokens",
    "HttpEndpoint": "ec2:MetadataHttpEndpoint",
    "HttpPutResponseHopLimit": "ec2:MetadataHttpPutResponseHopLimit",
}


def from_template(options: Mapping[str, Any]) -> Source:
    """Somebody launches from the default version of a template."""
    marked = {TEMPLATE_TAG: TEMPLATE, VERSION_TAG: "2"}
    return source_of([instance(marked)], found(templates={TEMPLATE: template()}, versions=versions(v2=options)))


def shown(options: Mapping[str, Any]) -> Source:
    """Karpenter, which shows in its newest instance only."""
    return source_of(
        [
            instance(
                {"karpenter.sh/nodepool": "p"},
                tokens=options.get("HttpTokens", "optional"),
                hop_limit=options.get("HttpPutResponseHopLimit", 1),
            )
        ],
        found(),
    )


def launch(name: str, options: Mapping[str, Any], most: int) -> Asked:
    """The launch as the evaluator sees it."""
    return Asked(
        guardrail=Guardrail.LAUNCHES,
        what=name,
        action="ec2:RunInstances",
        resource=LAUNCHED,
        denied=False,
        context={KEYS[option]: str(value) for option, value in options.items()},
        options=GuardrailOptions(max_hop_limit=most),
    )


@pytest.mark.parametrize("most", [1, 2, 64])
def test_launches_that_are_named_are_those_that_are_denied(most: int) -> None:
    """From templates with every kind of options, by hand, and as shown by an instance."""
    sources = {f"template: {name}": (from_template(options), options) for name, options in SAID.items()}
    sources["by hand"] = (source_of([instance()], found()), {})
    for tokens in ("required", "optional"):
        for hops in (1, 3):
            options = {"HttpTokens": tokens, "HttpPutResponseHopLimit": hops}
            sources[f"shown: {tokens}, {hops}"] = (shown(options), options)
    named = {
        name
        for name, (source, _) in sources.items()
        if any(each.guardrail is Named.LAUNCHES and each.certain for each in impact([source], {}, most))
    }
    answers = denied([launch(name, options, most) for name, (_, options) in sources.items()])
    assert {name for name, answer in answers.items() if answer} == {f"launches: {name}" for name in named}
    assert named


WORDS = {
    "v1_in_use": Word(decision="hold", reason="v1_in_use"),
    "broke_before": Word(decision="hold", reason="approval_required", broken=True),
    "unused": Word(decision="enforce", reason="unused"),
    "approval_required": Word(decision="hold", reason="approval_required"),
}


def test_instances_that_are_named_are_those_whose_credentials_are_denied() -> None:
    """What calls IMDSv1 has credentials of version 1, others have those of version 2; the evaluator denies the former."""
    instances = {reason: instance() for reason in WORDS}
    source = source_of(instances.values(), found())
    words = {instances[reason].arn: word for reason, word in WORDS.items()}
    hits = [each for each in impact([source], words, 2) if each.guardrail is Named.DELIVERY]
    named = {each.instance.arn for each in hits if each.instance is not None and each.certain}
    asked = [
        Asked(
            guardrail=Guardrail.DELIVERY,
            what=reason,
            action="s3:GetObject",
            resource=OBJECT,
            denied=False,
            context={"ec2:RoleDelivery": "1.0" if reason in ("v1_in_use", "broke_before") else "2.0"},
        )
        for reason in WORDS
    ]
    answers = denied(asked)
    assert {instances[reason].arn for reason in WORDS if answers[f"delivery: {reason}"]} == named
    assert 2 == len(named) == len(hits)


def test_what_is_not_known_is_said() -> None:
    """Neither blocked nor free: instances without a word, or without proof."""
    strange, young = instance(), instance()
    source = source_of([strange, young], found())
    words = {young.arn: Word(decision="hold", reason="too_young")}
    hits = [each for each in impact([source], words, 2) if each.guardrail is Named.DELIVERY]
    assert {strange.arn: False, young.arn: False} == {each.instance.arn: each.certain for each in hits if each.instance}
    assert "too_young" in " ".join(each.because for each in hits)


def delivery(known: Known, words: Mapping[str, Word], source: Source) -> list[tuple[bool, str]]:
    """What is said of calls: whether it is certain, and why."""
    told = {each.arn: words[name] for name, each in zip(words, source.instances, strict=False)}
    hits = impact([source], told, 2, known)
    return [(each.certain, each.because) for each in hits if each.guardrail is Named.DELIVERY]


def test_calls_that_are_known_name_what_nobody_judges() -> None:
    """An exempt instance, one that the ledger does not know, one that is held for others; not one that is proved to do without."""
    words = {
        "exempt": Word(decision="skip", reason="exempt"),
        "cohort": Word(decision="hold", reason="cohort_uses_v1"),
        "clean": Word(decision="enforce", reason="unused"),
    }
    several = [instance() for _ in range(4)]
    source = source_of(several, found())
    told = {each.arn: word for each, word in zip(several, words.values(), strict=False)}
    assert {several[0].arn, several[1].arn, several[3].arn} == {*unclear(exposed([source]), told)}
    last = datetime(2027, 3, 2, 7, tzinfo=UTC)
    calls = {each.arn: Trace(arn=each.arn, calls=3, last=last, refused=each is several[1]) for each in several}
    said = delivery(Known(calls=calls), words, source)
    assert [True] * 3 == [certain for certain, _ in said]
    assert "(exempt; 3 IMDSv1 calls, the last on 2027-03-02)" in said[0][1]
    assert "(cohort_uses_v1; 3 IMDSv1 calls that were refused, the last" in said[1][1]
    assert "(3 IMDSv1 calls, the last" in said[2][1]


def test_what_was_seen_instead_of_calls_is_said() -> None:
    """With what to do: an exempt instance is not judged while it is."""
    words = {"exempt": Word(decision="skip", reason="exempt"), "held": Word(decision="hold", reason="held_by_person")}
    source = source_of([instance(), instance()], found())
    quiet = {each.arn: "it made no call" for each in source.instances}
    exempt, held = delivery(Known(quiet=quiet), words, source)
    assert (False, True, True) == (exempt[0], "it made no call" in exempt[1], "end its exemption" in exempt[1])
    assert (False, True) == (held[0], "(held_by_person); it made no call: have it judged first." in held[1])


def test_what_was_closed_lately_is_waited_for() -> None:
    """Though it allows IMDSv1 no more."""
    source = source_of([instance(tokens="required"), instance(tokens="required")], found())
    waits = {source.instances[0].arn: "Wait until noon."}
    assert [(False, "Wait until noon.")] == delivery(Known(closed_lately=waits), {}, source)


@pytest.mark.parametrize("fields", [{"has_role": False}, {"state": "stopped"}], ids=["without a role", "stopped"])
def test_what_gets_no_credentials_is_not_asked_about(fields: dict[str, Any]) -> None:
    """An instance without a profile has none, and one that does not run fetches none."""
    source = source_of(
        [replace(instance(), **fields), instance(tokens="required"), instance(endpoint="disabled")], found()
    )
    assert [] == exposed([source])
    assert [source.instances[1].arn] == of_concern([source])
    assert [] == [each for each in impact([source], {}, 2) if each.guardrail is Named.DELIVERY]


def test_service_linked_roles_are_not_bound_by_the_policy_of_launches() -> None:
    """A group launches as one; what it launches is refused by the enforced default, if it says `optional`."""
    for options, hits in (({"HttpTokens": "optional"}, [Named.ENFORCED]), ({}, []), ({"HttpTokens": "required"}, [])):
        source = with_template(options=options)
        words = {each.arn: WORDS["unused"] for each in source.instances}
        assert hits == [each.guardrail for each in impact([source], words, 2)]


def test_what_cannot_be_read_is_said_of_its_source() -> None:
    """A template that is gone: its next launch fails anyhow, but nobody knows what it said."""
    source = source_of([instance({TEMPLATE_TAG: TEMPLATE, VERSION_TAG: "2"}, tokens="required")], found())
    hits = [each for each in impact([source], {}, 2) if each.guardrail is Named.LAUNCHES]
    assert [False] == [each.certain for each in hits]


@pytest.mark.parametrize(
    ("fields", "certain"),
    [
        ({"tokens": "required"}, False),
        ({"tokens": "required", "tags": {"imdsv2:enforced-at": "2027-05-01T06:00:00Z"}}, True),
        ({"tokens": "optional"}, True),
    ],
    ids=["requires tokens", "by this service", "allows IMDSv1"],
)
def test_a_launch_by_hand_that_may_say_so_itself_is_not_called_blocked(fields: dict[str, Any], certain: bool) -> None:
    """Whether a person, a default or somebody afterwards made it require tokens, nobody can tell; what this service made so, did not."""
    source = source_of([instance(**fields)], found())
    assert Kind.BY_HAND is source.origin.kind
    (hit,) = [each for each in impact([source], {}, 2) if each.guardrail is Named.LAUNCHES]
    assert certain is hit.certain
    assert ("if the launch said so, it goes on" in hit.because) is not certain

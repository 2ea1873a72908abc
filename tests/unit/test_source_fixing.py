"""Which sources the service may change itself, and what it would change: pure, and for every kind of source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.source_fix import Pointer
from imdsv2.domain.verdict import Decision
from imdsv2.source.fixing import as_before, differences, hindrance, key_of, pointed, pointers_of, required, steps_of
from imdsv2.source.verdict import Judged, SourceVerdict, Word, judge
from tests.unit.source_builders import OTHER_TEMPLATE, TEMPLATE, catalogue, mixed, with_template

if TYPE_CHECKING:
    from imdsv2.source.assembly import Source

MAY_BE_CHANGED = {
    "group, default version",
    "group, latest version",
    "group with containers",
    "mixed instances",
    "mixed instances, latest",
    "template",
}
CATALOGUE = catalogue()


def judged(source: Source) -> Judged:
    """Its verdict where every running instance is known to do without IMDSv1."""
    return judge(source, {each.arn: Word(decision=Decision.ENFORCE, reason="unused") for each in source.running})


@pytest.mark.parametrize("name", CATALOGUE)
def test_only_what_nobody_else_manages_is_changed(name: str) -> None:
    """Every other kind keeps its remedy, and the reason says what a person can do."""
    source = CATALOGUE[name]
    why = hindrance(source, judged(source), [])
    assert (name in MAY_BE_CHANGED) == (why is None), why
    if why is not None:
        assert any(word in why for word in ("remed", "verdict", "Point"))


def test_nothing_is_changed_without_proof() -> None:
    """The verdict comes first."""
    source = with_template()
    assert "hold" in str(hindrance(source, judge(source, {}), []))


@pytest.mark.parametrize(("number", "allowed"), [(2, True), (3, False)])
def test_the_version_in_use_has_to_be_the_latest(number: int, allowed: bool) -> None:
    """Or a new one would take the place of the newer one for whoever follows the latest."""
    source = with_template(version="2", latest=number)
    assert allowed == (hindrance(source, judged(source), []) is None)


def test_a_version_of_ours_that_is_like_it_does_not_count() -> None:
    """It was made on the way back."""
    source = with_template(version="2", latest=4)
    assert hindrance(source, judged(source), [], {(TEMPLATE, 4): 2}) is None
    assert hindrance(source, judged(source), [], {(TEMPLATE, 4): 1}) is not None


@pytest.mark.parametrize("verdict", list(SourceVerdict))
def test_those_who_share_its_template_have_to_be_as_safe(verdict: SourceVerdict) -> None:
    """All follow the default."""
    source, other = with_template("web"), with_template("api")
    why = hindrance(source, judged(source), [(other, Judged(verdict=verdict, explanation=""))])
    assert (verdict is SourceVerdict.HOLD) == (why is not None)


def test_what_somebody_else_manages_and_shares_its_template_stops_it() -> None:
    """Its owner would find it changed."""
    source, other = with_template("web"), with_template("api", tags={"ManagedBy": "Terraform"})
    assert "managed elsewhere" in str(hindrance(source, judged(source), [(other, judged(other))]))


def test_an_instance_of_terraform_stops_it() -> None:
    """Where neither group nor template tells."""
    source = with_template(instance_tags={"terraform": "true"})
    assert "Terraform" in str(hindrance(source, judged(source), []))


def test_the_key_names_the_place_and_the_source() -> None:
    """As people find it in answers."""
    assert "aws/210987654321/eu-central-1/auto_scaling_group:web" == key_of(with_template())


def test_the_steps_of_a_mixed_group() -> None:
    """One for each version in use; what is named by number is pinned."""
    source = mixed(main="$Default", other="5")
    steps = steps_of(source)
    assert [(TEMPLATE, 2, True), (OTHER_TEMPLATE, 5, False)] == [
        (each.template, each.base, each.moves_default) for each in steps
    ]
    pointers = pointers_of(source.group, steps)
    assert [("$Default", False), ("5", True)] == [(each.version, each.pinned) for each in pointers]


NAMES = ("HttpEndpoint", "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags", "HttpTokens")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "HttpEndpoint": st.just("enabled"),
    "HttpPutResponseHopLimit": st.integers(1, 64),
    "HttpProtocolIpv6": st.sampled_from(["enabled", "disabled"]),
    "InstanceMetadataTags": st.sampled_from(["enabled", "disabled"]),
    "HttpTokens": st.just("optional"),
}
OPTIONS = st.fixed_dictionaries({}, optional=VALUES)
DATA = st.dictionaries(
    st.sampled_from(["ImageId", "InstanceType", "UserData", "KeyName", "SecurityGroupIds", "TagSpecifications"]),
    st.one_of(st.text(max_size=5), st.lists(st.text(max_size=3), max_size=2)),
)


@given(options=OPTIONS, data=DATA)
def test_a_version_differs_in_nothing_but_its_metadata_options(options: dict[str, Any], data: dict[str, Any]) -> None:
    """And of these only in the tokens; the endpoint is named as a launch has it that says nothing."""
    base = {**data, **({"MetadataOptions": {**options, "State": "applied"}} if options else {})}
    made = {**data, "MetadataOptions": required(options)}
    assert [] == differences(base, made)
    changed = {name for name in NAMES if required(options).get(name) != options.get(name)}
    assert changed <= {"HttpTokens", "HttpEndpoint"}
    assert "required" == made["MetadataOptions"]["HttpTokens"]
    assert {**options, "HttpTokens": "optional"} == as_before(options)


@given(options=OPTIONS, data=DATA, key=st.sampled_from(["ImageId", "UserData", "InstanceType"]), value=st.integers())
def test_any_other_difference_is_found(options: dict[str, Any], data: dict[str, Any], key: str, value: int) -> None:
    """Whatever made it: nothing is pointed to such a version."""
    made = {**data, "MetadataOptions": required(options), key: value}
    assert [key] == differences({**data, "MetadataOptions": options}, made)


@given(options=OPTIONS, name=st.sampled_from(["HttpPutResponseHopLimit", "InstanceMetadataTags"]))
def test_another_option_is_found(options: dict[str, Any], name: str) -> None:
    """The hop limit is somebody's choice."""
    made = {"MetadataOptions": {**required(options), name: "something else"}}
    assert [f"MetadataOptions.{name}"] == differences({"MetadataOptions": options}, made)


def test_a_policy_keeps_everything_but_the_versions() -> None:
    """Pools belong to one strategy alone, and AWS refuses an id beside a name."""
    source = mixed()
    assert source.group is not None
    assert source.group.policy is not None
    steps = [replace(each, made=9) for each in steps_of(source)]
    pointers = [
        Pointer(template=TEMPLATE, version="9", pinned=True),
        Pointer(template=OTHER_TEMPLATE, version="6", pinned=True),
    ]
    assert len(pointers) == len(pointers_of(source.group, steps))
    sent = pointed(source.group.policy, pointers)
    assert {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": TEMPLATE, "Version": "9"},
            "Overrides": [
                {"InstanceType": "m7i.large", "WeightedCapacity": "1"},
                {
                    "InstanceType": "m7g.large",
                    "WeightedCapacity": "1",
                    "LaunchTemplateSpecification": {"LaunchTemplateId": OTHER_TEMPLATE, "Version": "6"},
                },
            ],
        },
        "InstancesDistribution": {"OnDemandBaseCapacity": 1, "SpotAllocationStrategy": "price-capacity-optimized"},
    } == sent

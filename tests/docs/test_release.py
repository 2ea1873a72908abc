"""What is said about versions, leaving and coming back agrees with the code and the templates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from imdsv2.version import VERSION, VERSION_TAG

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
UNINSTALL = (ROOT / "docs" / "uninstall.md").read_text()
UPGRADE = (ROOT / "docs" / "upgrade.md").read_text()
TEMPLATE: dict[str, Any] = json.loads(
    (ROOT / "tests" / "infra" / "kept" / "assembly.Imdsv2Remediation.json").read_text()
)
HAVE_NAMES = {"AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::S3::Bucket"}


def retained() -> dict[str, Any]:
    """What CloudFormation leaves behind, by logical id."""
    return {
        name: each
        for name, each in TEMPLATE["Resources"].items()
        if str(each.get("DeletionPolicy")).startswith("Retain")
    }


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    """Versions fall from entry to entry, and so do the days."""
    entries = re.findall(r"^## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
    versions = [tuple(map(int, numbers)) for *numbers, _ in entries]
    assert VERSION == ".".join(map(str, versions[0]))
    assert sorted(set(versions), reverse=True) == versions
    assert sorted((day for *_, day in entries), reverse=True) == [day for *_, day in entries]


def test_what_stays_is_what_can_be_taken_over() -> None:
    """The names in the file for `cdk import` are the logical ids of all that stays."""
    [mapping] = re.findall(r"```json\n(.*?)```", UNINSTALL, re.DOTALL)
    assert retained().keys() == json.loads(mapping).keys()
    assert HAVE_NAMES == {each["Type"] for each in retained().values()}


def test_what_stays_depends_on_nothing_else() -> None:
    """Or CloudFormation could not import it into a stack that does not exist yet."""
    text = json.dumps(list(retained().values()))
    named = {*re.findall(r'"Ref": "(.*?)"', text), *re.findall(r'"Fn::GetAtt": \["(.*?)"', text)}
    assert retained().keys() >= {each for each in named if not each.startswith("AWS::")}


def test_the_pages_name_the_tags() -> None:
    """Nobody searches in vain."""
    assert VERSION_TAG in UPGRADE
    assert all(tag in UNINSTALL for tag in ("imdsv2:enforced-at", "imdsv2:rolled-back-at", "imdsv2:exempt-until"))

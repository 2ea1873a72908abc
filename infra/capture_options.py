"""The setting `capture`: where the IMDS Packet Analyzer lies, and its digest."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.domain.regions import unknown_region
from infra.errors import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "bucket": (re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"), "the name of a bucket, without dots, e.g. acme-tools"),
    "key": (
        re.compile(r"([A-Za-z0-9._-]+/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.tar\.gz"),
        "the key of a .tar.gz, e.g. imds/analyzer.tar.gz",
    ),
    "region": (re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+"), "the Region of the bucket, e.g. eu-west-1"),
    "sha256": (re.compile(r"[0-9a-f]{64}"), "its SHA-256 as 64 hexadecimal digits in lower case"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """The artefact: a `.tar.gz` with the analyzer's folder `src`."""

    bucket: str
    key: str
    region: str
    sha256: str

    @classmethod
    def from_setting(cls, name: str, given: object) -> CaptureOptions | None:
        """Check the setting; None for an empty object, which deploys nothing.

        Raises:
            SettingRefused: names the field and what it takes.
        """
        if given == {}:
            return None
        if not isinstance(given, dict) or given.keys() != _FIELDS.keys():
            takes = f"takes an object with {', '.join(_FIELDS)}, or {{}} for no capture"
            raise SettingRefused(name, f"{takes}, not {json.dumps(given)}")
        for field, (pattern, takes) in _FIELDS.items():
            if not isinstance(given[field], str) or pattern.fullmatch(given[field]) is None:
                raise SettingRefused(f"{name}.{field}", f"takes {takes}, not {json.dumps(given[field])}")
        if (problem := unknown_region(given["region"])) is not None:
            raise SettingRefused(f"{name}.region", f"takes the Region of the bucket: {problem}")
        return cls(**given)

    @property
    def file(self) -> str:
        """The name of the file once it is on the instance."""
        return self.key.rpartition("/")[2]

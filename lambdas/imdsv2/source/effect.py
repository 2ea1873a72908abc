"""What the next launch of a source will require: the launch itself decides, else the account's default, else the AMI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.source.launching import Defaults, Image

REQUIRED, OPTIONAL, UNKNOWN = "required", "optional", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Whether a launch requires tokens (`REQUIRED`, `OPTIONAL`, `UNKNOWN`), and what decides it, in words."""

    tokens: str
    because: str


def effect_of(options: Mapping[str, Any], defaults: Defaults | None, image: Image | None) -> Effect:
    """The effect of a launch with these metadata options (``{}``: it says nothing).

    Args:
        options: under EC2's own field names.
        defaults: the account's; None if they cannot be read.
        image: the AMI; None if it is not known or cannot be seen.
    """
    if options.get("HttpEndpoint") == "disabled":
        return Effect(tokens=REQUIRED, because="its metadata endpoint is disabled, so nothing can call IMDSv1")
    if defaults is not None and defaults.endpoint == "disabled" and "HttpEndpoint" not in options:
        why = "it does not say HttpEndpoint, and the account's default in this Region disables the metadata endpoint"
        return Effect(tokens=REQUIRED, because=f"{why}, so nothing can call IMDSv1")
    if tokens := options.get("HttpTokens"):
        return Effect(tokens=tokens, because=f"it says HttpTokens={tokens}")
    if defaults is None:
        return Effect(tokens=OPTIONAL, because="it does not say HttpTokens, and the account's default cannot be read")
    if defaults.tokens:
        whose = (
            "declarative policy" if defaults.managed_by == "declarative-policy" else "account's default in this Region"
        )
        return Effect(
            tokens=defaults.tokens, because=f"it does not say HttpTokens, and the {whose} is {defaults.tokens}"
        )
    if image is not None and image.requires:
        return Effect(
            tokens=REQUIRED, because=f"it does not say HttpTokens, and the AMI {image.id} has ImdsSupport v2.0"
        )
    if image is None:
        return Effect(
            tokens=OPTIONAL,
            because="it does not say HttpTokens, the account has no default, and its AMI cannot be seen",
        )
    return Effect(
        tokens=OPTIONAL,
        because=f"neither it, nor the account's default, nor the AMI {image.id} requires tokens",
    )

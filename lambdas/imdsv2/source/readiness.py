"""Whether an account and Region is ready for graduation: pure functions to what is still open there, each with what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsv2.source.effect import OPTIONAL, REQUIRED, UNKNOWN
from imdsv2.source.impact import asked_by
from imdsv2.source.launching import DEFAULT, LATEST, Ref
from imdsv2.source.origin import MANAGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.source.assembly import Source
    from imdsv2.source.launching import Found

_PRODUCT = re.compile(r"([A-Za-z][\w.+-]*)/[\w.+-]")
_PRODUCTS = 3
"""Of a user agent, the names that tell one tool from another: `APN/1.0 HashiCorp/1.0 Packer/1.11`."""
_NUMBER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,}|\d{4,}")
"""What differs from one session of a machine to the next: ids, times, numbers of builds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Something that keeps a place from being ready. ``what``: instance, watch, source or launch; ``name``: which."""

    what: str
    name: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLaunch:
    """A launch that CloudTrail remembers.

    Args:
        tokens: what it said of tokens, itself or by its launch template as that is now; None if nothing, or if that is not known.
        template: id or name of the launch template that it named; ``version``: as it named it.
        given: what was in force on its instances, whoever said it; None if that is not known.
    """

    at: datetime
    principal: str
    user_agent: str = ""
    tokens: str | None = None
    template: str | None = None
    version: str | None = None
    given: str | None = None

    @property
    def launcher(self) -> tuple[str, str, str]:
        """Launches of one principal with one tool from one template are one habit; its newest tells what it does now. Sessions that a
        machine opens have another number each time, and a tool has another version after an update."""
        arn, _, session = (
            self.principal.partition("/") if ":assumed-role/" in self.principal else (self.principal, "", "")
        )
        role, _, name = session.partition("/")
        tool = " ".join(_PRODUCT.findall(self.user_agent)[:_PRODUCTS]) or self.user_agent.partition(" ")[0]
        return f"{arn}/{role}/{_NUMBER.sub('#', name)}", tool, self.template or ""

    @property
    def ref(self) -> Ref | None:
        """The launch template that would have to say what the launch itself does not; None if there is none to ask."""
        if self.tokens is not None or self.template is None:
            return None
        version = self.version if self.version in {DEFAULT, LATEST} or (self.version or "").isdecimal() else DEFAULT
        by_id = self.template.startswith("lt-")
        return Ref(id=self.template if by_id else "", name="" if by_id else self.template, version=str(version))


def with_templates(launches: Iterable[PastLaunch], found: Found) -> list[PastLaunch]:
    """The launches, with what their templates say now where they say nothing themselves: that is what the next launch will get."""
    return [
        replace(each, tokens=version.options.get("HttpTokens"))
        if (ref := each.ref) is not None and (version := found.version(ref)) is not None
        else each
        for each in launches
    ]


def still_open(
    instances: Iterable[Instance],
    watched: Mapping[InstanceArn, str],
    sources: Sequence[Source],
    launches: Iterable[PastLaunch],
    locked_at: datetime | None = None,
) -> list[Open]:
    """Everything that is open. ``watched``: instances that the service watches or is changing, each with why; ``locked_at``: since when
    the place's default requires tokens, None if it does not."""
    return [*_instances(instances), *_watched(watched), *_sources(sources), *_launches(launches, locked_at)]


def would_change(launches: Iterable[PastLaunch]) -> list[PastLaunch]:
    """The newest launch of each habit that says nothing of tokens: these get the new default, whether their software is seen or not."""
    return [each for each in newest_launches(launches) if each.tokens is None and each.given != REQUIRED]


def newest_launches(launches: Iterable[PastLaunch]) -> list[PastLaunch]:
    """The newest launch of each habit, the newest first."""
    found: dict[tuple[str, str, str], PastLaunch] = {}
    for each in sorted(launches, key=lambda one: one.at, reverse=True):
        found.setdefault(each.launcher, each)
    return list(found.values())


def _instances(instances: Iterable[Instance]) -> Iterator[Open]:
    """Stopped ones, too: they start with the options that they have."""
    for each in instances:
        if each.options.http_tokens != REQUIRED and each.options.http_endpoint != "disabled":
            yield Open(
                what="instance",
                name=str(each.arn),
                because=f"It allows IMDSv1 ({each.state}): have it judged, or terminate it.",
            )


def _watched(watched: Mapping[InstanceArn, str]) -> Iterator[Open]:
    for arn, why in watched.items():
        yield Open(what="watch", name=str(arn), because=why)


def _sources(sources: Sequence[Source]) -> Iterator[Open]:
    """With the default `required`, only what says `optional` itself brings IMDSv1 back."""
    for source in sources:
        if source.origin.kind in MANAGED:
            continue
        name = f"{source.origin.kind} {source.origin.name}"
        if source.unread is not None:
            yield Open(what="source", name=name, because=f"It cannot be judged: {source.unread}")
            continue
        for launch in source.launches:
            stated = asked_by(launch, source.instances).get("HttpTokens")
            configured = source.configuration.options.get("HttpTokens") if source.configuration else None
            told = {stated, configured, launch.effect.tokens if not launch.silent else None}
            if not launch.past and told & {OPTIONAL, UNKNOWN}:
                because = f"{launch.what} would bring IMDSv1 back: apply its remedy (question `sources`)."
                yield Open(what="source", name=name, because=because)
                break


def _launches(launches: Iterable[PastLaunch], locked_at: datetime | None) -> Iterator[Open]:
    """What is gone when one looks, such as builders: only CloudTrail shows that it is launched again and again."""
    for each in newest_launches(launches):
        by = f"{each.user_agent or 'unknown tool'}{f', launch template {each.template}' if each.template else ''}"
        if each.tokens == OPTIONAL:
            because = f"It launched with HttpTokens=optional on {each.at:%Y-%m-%d} ({by}): have it say required."
            yield Open(what="launch", name=each.principal, because=because)
        elif each.tokens is None and each.given == OPTIONAL and locked_at is not None and each.at > locked_at:
            because = (
                f"Its launch got HttpTokens=optional on {each.at:%Y-%m-%d} ({by}), although the default was required by then: it says "
                "so itself, by a launch template that is gone or by the AMI. Have it say required."
            )
            yield Open(what="launch", name=each.principal, because=because)

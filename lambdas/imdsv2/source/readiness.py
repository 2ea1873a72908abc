"""Whether an account and Region is ready for graduation: pure functions to what is still open there, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.source.effect import OPTIONAL, REQUIRED, UNKNOWN
from imdsv2.source.impact import asked_by
from imdsv2.source.origin import MANAGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.source.assembly import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Something that keeps a place from being ready. ``what``: instance, watch, source or launch; ``name``: which."""

    what: str
    name: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLaunch:
    """A launch that CloudTrail remembers. ``tokens``: what it said of tokens, None if nothing."""

    at: datetime
    principal: str
    user_agent: str = ""
    tokens: str | None = None
    template: str | None = None

    @property
    def launcher(self) -> tuple[str, str, str]:
        """Launches of one principal with one tool from one template are one habit; its newest tells what it does now."""
        role, _, _ = self.principal.partition("/i-")
        return role, self.user_agent.partition(" ")[0], self.template or ""


def still_open(
    instances: Iterable[Instance],
    watched: Mapping[InstanceArn, str],
    sources: Sequence[Source],
    launches: Iterable[PastLaunch],
) -> list[Open]:
    """Everything that is open. ``watched``: instances that the service watches or is changing, each with why."""
    return [*_instances(instances), *_watched(watched), *_sources(sources), *_launches(launches)]


def would_change(launches: Iterable[PastLaunch]) -> list[PastLaunch]:
    """The newest launch of each habit that says nothing of tokens: these get the new default, whether their software is seen or not."""
    return [each for each in newest_launches(launches) if each.tokens is None]


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


def _launches(launches: Iterable[PastLaunch]) -> Iterator[Open]:
    """What is gone when one looks, such as builders: only CloudTrail shows that it is launched again and again."""
    for each in newest_launches(launches):
        if each.tokens == OPTIONAL:
            yield Open(
                what="launch",
                name=each.principal,
                because=f"It launched with HttpTokens=optional on {each.at:%Y-%m-%d} ({each.user_agent or 'unknown tool'}): have it say required.",
            )

"""What a self-test has seen so far: frozen values, kept as one JSON document between the steps of the state machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Raw = Mapping[str, Any]
Kind = TypeVar("Kind")

CONFIG_RULE = "ec2-imdsv2-check"
"""In the names of Config's rules for IMDSv2, but for those that people have named otherwise."""

OK = "ok"
"""The code of a call that AWS carried out."""
LOOK, CONSOLES = "look", "consoles"
"""Names of the answers to looks that failed, and to questions for the consoles of which none was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """AWS's answer to one call.

    Args:
        name: of the call, as the checks ask for it.
        code: `ok`, or AWS's error code.
        conclusive: False where the answer says nothing about the call itself: throttled, not permitted, or none at all.
        raw: the answer, as far as a check needs it.
    """

    name: str
    at: datetime
    code: str
    message: str = ""
    conclusive: bool = True
    raw: Raw = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An instance as the service reads it from DescribeInstances."""

    role: str
    at: datetime
    state: str
    launched_at: datetime
    attached_at: datetime | None
    tokens: str
    endpoint: str
    hop_limit: int
    stopped_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A datapoint in its last state. ``seen_at``: when CloudWatch first showed that it has this value; ``missing_at``: the look before,
    which did not show that. Looks may fail, so the time between the two says nothing of CloudWatch."""

    metric: str
    role: str
    at: datetime
    total: float
    seen_at: datetime
    missing_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """An instance that ListMetrics lists with `MetadataNoTokenRejected`, when it did so first, and the look before, which did not."""

    role: str
    at: datetime
    missing_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to the metadata service, as the instance reported it on its console. ``kind``: `v1` (without a token) or `v2`; `boot`:
    no call, but the beginning of a boot, with status 0."""

    role: str
    at: datetime
    kind: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An item of the ledger about one of the instances. ``hubs``: the product ARNs of the findings in it."""

    role: str
    at: datetime
    status: str
    reason: str
    source: str
    hubs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All observations of one self-test.

    Args:
        began_at: when the instances were launched.
        minute_seconds: how long a minute of the agenda lasts; 60 on AWS.
        instances: role to instance id.
        looked_at: the last look to which CloudWatch gave a complete answer; None before the first.
        done: the deeds that were carried out, in order.
    """

    began_at: datetime
    minute_seconds: float
    instances: Mapping[str, str]
    looked_at: datetime | None = None
    done: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    sights: tuple[Sight, ...] = ()
    points: tuple[Point, ...] = ()
    listings: tuple[Listing, ...] = ()
    calls: tuple[Call, ...] = ()
    entries: tuple[Entry, ...] = ()

    def answer(self, name: str) -> Answer | None:
        """The last answer with this name."""
        return next((each for each in reversed(self.answers) if each.name == name), None)

    def is_done(self, name: str) -> bool:
        """Whether AWS carried the call with this name out."""
        answer = self.answer(name)
        return answer is not None and answer.code == OK

    def agenda_time(self, time: timedelta) -> timedelta:
        """How long a time of AWS is in this self-test: shorter in a rehearsal."""
        return time * self.minute_seconds / 60

    def sights_of(self, role: str) -> list[Sight]:
        return [each for each in self.sights if each.role == role]

    def state_of(self, role: str) -> str | None:
        """The state in which an instance was seen last."""
        sights = self.sights_of(role)
        return sights[-1].state if sights else None

    def points_of(self, role: str, metric: str) -> list[Point]:
        """In order of time."""
        return sorted((each for each in self.points if (each.role, each.metric) == (role, metric)), key=_at)

    def calls_of(self, role: str, kind: str, status: int) -> list[Call]:
        """The calls that the instance's metadata service answered like this, in order."""
        return sorted(
            (each for each in self.calls if (each.role, each.kind, each.status) == (role, kind, status)), key=_at
        )

    def entries_of(self, role: str) -> list[Entry]:
        """In order of time."""
        return sorted((each for each in self.entries if each.role == role), key=_at)

    def with_answers(self, answers: Iterable[Answer]) -> Seen:
        return replace(self, answers=(*self.answers, *answers))


def _at(value: Point | Call | Entry) -> datetime:
    return value.at


def to_document(value: Any) -> Any:
    """Values as JSON-compatible ones; times in ISO 8601, UTC."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_document(asdict(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {str(name): to_document(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_document(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


_KINDS: Mapping[str, type[Any]] = {
    "answers": Answer,
    "sights": Sight,
    "points": Point,
    "listings": Listing,
    "calls": Call,
    "entries": Entry,
}


def from_document(document: Mapping[str, Any]) -> Seen:
    """The reverse of ``to_document`` for a ``Seen``."""
    several = {name: tuple(_value(kind, each) for each in document[name]) for name, kind in _KINDS.items()}
    return _value(Seen, {**document, **several})


def _value(kind: type[Kind], document: Mapping[str, Any]) -> Kind:
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # only dataclasses come here
    return kind(**{name: _read(name, value) for name, value in document.items() if name in names})


def _read(name: str, value: Any) -> Any:
    if (name == "at" or name.endswith("_at")) and isinstance(value, str):
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value

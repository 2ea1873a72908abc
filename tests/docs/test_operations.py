"""The operations guide explains every alarm."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text()
MONITORING = (ROOT / "infra" / "monitoring.py").read_text()
STACK = (ROOT / "infra" / "service_stack.py").read_text()
ALARMS = (ROOT / "infra" / "alarms.py").read_text()


def _keys(call: str) -> list[str]:
    """Names of the queues or functions for which the stack creates an alarm of this kind."""
    [body] = re.findall(rf"{call}\(queues=\{{(.*?)\}}\)", MONITORING, re.DOTALL)
    return re.findall(r'"([a-z-]+)":', body)


def test_every_alarm_is_explained() -> None:
    """Whoever is paged finds the alarm's name, its meaning and what to do."""
    fixed = set(re.findall(r'self\._(?:alarm|on_sum)\(\s*"([a-z-]+)"', ALARMS))
    assert {"findings-waiting", "policy-refused", "events-lost"} <= fixed
    of_queues = {f"{name}-dead-letters" for name in _keys("on_dead_letters")}
    [functions] = re.findall(r"judges=\[(.*?)\]", STACK, re.DOTALL)
    names = (name.removesuffix("_function") for name in re.findall(r"self\.(\w+)", functions))
    of_functions = {f"{name}-errors" for name in names}
    assert "sweep-errors" in of_functions
    for alarm in fixed | of_queues | of_functions | {"broadcast-errors"}:
        assert f'<a id="{alarm}"></a>`{alarm}`' in GUIDE


def test_no_anchor_is_there_twice() -> None:
    """A link from an alarm leads to one row."""
    anchors = re.findall(r'<a id="([a-z-]+)">', GUIDE)
    assert sorted(set(anchors)) == sorted(anchors)

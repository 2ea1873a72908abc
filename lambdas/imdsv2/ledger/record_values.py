"""What the attributes `watch`, `owes` and `left_because` of a record say."""

from __future__ import annotations

OPEN, OVER = "open", "done"
"""State of the guard's watch of an enforced instance: the prefix of the sort key in the index of enforced instances."""

COUNT, TAG, UNTAG = "count", "tag", "untag"
"""What a record may owe: to be counted towards the account's breaker; `imdsv2:rolled-back-at` in place of our tag; to have our tag
removed, which an attempt that changed nothing may have left."""

# Values of `left_because`; where EC2 refused a rollback, it says how.
UNPROVEN = "unproven"
"""The watch ended without proof of health."""
PROBE = "probe_or_breakage"
"""Calls were refused, too few to tell what they were."""
OPENED = "opened_by_person"
"""Somebody has set tokens to optional."""
ENDED = "gone"
"""The instance broke, and has gone."""
ENDED_UNEXPLAINED = "gone_unexplained"
"""It has gone, and nobody knows what made the calls that were refused."""
UNTAGGED = "untagged"
"""The service's tag has gone, without which nothing can be put back."""
LET_GO = frozenset({UNPROVEN, OPENED, ENDED, ENDED_UNEXPLAINED})
"""Those with which the guard lets an instance go."""

"""Assumptions of the calculation: how AWS bills what the functions do, and how large organisations are."""

LATENCY_MS = 40
BATCH = 500

MEMORY_GB = 1.0
WRITE_UNIT = 1024
CHANGES_A_SECOND = 5
"""EC2's quota for changes in an account and Region: a function that makes many waits for it, and is paid for it."""
TRANSITIONS_A_PLACE = 5
LOG_BYTES_A_PLACE = 11 * 450
"""The state machine logs the events of each account and Region's execution."""
POLLS_A_MONTH = 5 * 3 * 60 * 730
"""Lambda keeps five long polls of twenty seconds on an empty queue."""
REVISITS_A_MONTH = 60 * 730
READS_OF_AN_IDLE_REVISIT = 9
"""Eight partitions of the index, and what is known of the policy."""
PASSES_AN_HOUR = 12
PASSES_A_MONTH = PASSES_AN_HOUR * 730
"""Of the guard."""
SECONDS_OF_AN_IDLE_RUN = 0.5
SECONDS_OF_A_PLACE = 0.1 / 8
"""An account and Region in which instances wait for their next start: one look, eight accounts at a time."""
UNITS_OF_AN_ACCOUNT = {"write_units": 1, "items_read": 1}
"""A pass of the guard claims each account in which anything was enforced, and asks the index for it."""
SECONDS_OF_A_BROADCAST, BROADCAST_GB = 0.2, 0.25
"""An event of the ledger on its way to the bus, as if each came alone."""
KEY_REQUESTS_A_MONTH = 3 * 12 * 730
"""SQS, SNS and DynamoDB each keep a data key for five minutes."""
CUSTOM_METRICS = 10
GAUGES_OF_ALL = 2
HOURS_A_MONTH = 730
"""A gauge that is published once a day is billed for that hour."""

HELD_SHARE = 0.2
FINDINGS_A_MONTH = 40
"""Security Hub sends a failing finding anew about every 18 hours."""
DAYS = 30
ORGANISATIONS = {1_000: (10, 2), 10_000: (50, 4), 100_000: (500, 17)}
"""Instances: accounts and Regions."""

"""CloudTrail's event history: what is recorded of calls, and LookupEvents."""

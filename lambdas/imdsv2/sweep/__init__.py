"""The nightly sweep: every instance that allows IMDSv1, for each account and Region."""

"""Accounts and Regions in which nothing allows IMDSv1 any more: whether they are ready, their defaults, and what guardrails would block."""

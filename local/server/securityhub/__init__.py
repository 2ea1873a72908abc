"""Security Hub, in both formats of findings."""

"""Step Functions beyond what ministack has."""

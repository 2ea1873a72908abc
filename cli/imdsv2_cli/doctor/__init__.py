"""What the service depends on, looked at part by part; each fault with the command that mends it."""

from imdsv2_cli.doctor.finding import OUTCOMES, Finding, Outcome
from imdsv2_cli.doctor.run import examine

__all__ = ["OUTCOMES", "Finding", "Outcome", "examine"]

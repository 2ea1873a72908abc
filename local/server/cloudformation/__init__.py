"""CloudFormation's resources beyond what ministack has."""

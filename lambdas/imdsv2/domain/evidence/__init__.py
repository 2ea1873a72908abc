"""What CloudWatch remembers of an instance, as values; the ranges of time that are asked about; and how they are weighed: pure."""

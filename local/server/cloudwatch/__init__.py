"""CloudWatch's metrics of instances."""

"""What `make bench` measures: speed, calls and memory of the service, beside baselines."""

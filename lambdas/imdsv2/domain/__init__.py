"""Domain values and pure decision functions: no AWS SDK, clock, environment or threads."""

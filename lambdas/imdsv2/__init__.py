"""The service: evaluates reported instances and requires IMDSv2 where the evidence shows that nothing needs IMDSv1."""

import gc

# Importing modules and service models creates hundreds of thousands of objects that are never freed. At the default
# threshold of 700, garbage collection takes a seventh of a cold start and finds nothing.
gc.set_threshold(15_000)

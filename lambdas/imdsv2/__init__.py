"""The service: a finding comes in, the evidence is read, and IMDSv1 goes off where nothing needs it."""

import gc

# Loading modules and models makes hundreds of thousands of objects that all stay. Looking for garbage after every 700 of
# them is a seventh of a function's start, and finds none.
gc.set_threshold(10_000)

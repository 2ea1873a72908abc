"""What is known, judged and decided, as pure values and functions: no AWS, clock, environment or thread."""

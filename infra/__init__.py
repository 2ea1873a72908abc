"""The stacks: one construct per file; the stack modules only compose constructs and grant permissions."""

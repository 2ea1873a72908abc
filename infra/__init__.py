"""The stack: one construct a file; the stack only composes and grants."""

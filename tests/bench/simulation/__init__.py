"""Simulated fleets that live for months under the real line and guard: what enforcing breaks, and what it leaves undone."""

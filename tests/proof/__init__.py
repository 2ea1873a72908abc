"""Proofs: what may never happen does not happen, whatever fails."""

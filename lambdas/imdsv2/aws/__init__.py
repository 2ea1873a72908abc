"""Calls to AWS, one module per service or purpose: they take clients and return domain values."""

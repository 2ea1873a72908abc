"""The ledger restored from a point in time: EC2, people and findings are further on than the table."""

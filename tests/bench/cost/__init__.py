"""What the service costs: metered on the local AWS, priced, and written as docs/cost.md."""

"""EC2 as far as the service looks at it and changes it."""

"""The calls to AWS, one module for each service or role of it: clients go in, domain values come out."""

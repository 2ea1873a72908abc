"""The line for what launches instances: each source is judged, recorded, and told of."""

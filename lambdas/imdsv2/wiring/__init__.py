"""The composition root: one module for each function builds its objects from settings and clients."""

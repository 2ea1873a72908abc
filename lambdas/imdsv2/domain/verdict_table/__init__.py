"""The verdict table, its rows in their order: from evidence and history to a verdict. Pure."""

"""The whole fleet: the file of the last sweep, joined with what has changed in the ledger since. Nothing is scanned."""

"""What people ask for by hand, and the answers."""

"""What happens after enforcement: watch, recall what breaks later, roll back."""

"""What needs more than the base install."""

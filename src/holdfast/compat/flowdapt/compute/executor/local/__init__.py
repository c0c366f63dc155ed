"""What belongs to one engine."""

"""What stage functions import."""

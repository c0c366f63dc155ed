"""What the original describes workflows by."""

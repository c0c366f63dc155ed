"""What the original keeps of workflows."""

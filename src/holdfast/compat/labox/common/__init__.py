"""What all of labox' modules share."""

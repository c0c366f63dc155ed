"""What keeps a store sound: what nobody needs is collected, and all that is there is looked at."""

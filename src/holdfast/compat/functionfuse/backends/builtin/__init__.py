"""On this machine, and on Ray."""

"""Measurements against controls in the same run; ``python -m bench --help``."""

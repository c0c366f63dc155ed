"""Workflows: the context of a run, and running one."""

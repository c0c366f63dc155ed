"""Definitions that several tests run."""

from __future__ import annotations

COUNTER = """\
direktiv_api: workflow/v1
states:
- id: a
  type: getter
  variables:
  - key: x
    scope: workflow
  transform: 'jq(.var.x += 1)'
  transition: b
- id: b
  type: setter
  variables:
  - key: x
    scope: workflow
    value: 'jq(.var.x)'
"""
"""The published one."""

ATOMIC = "atomic:\n- scope: workflow\n  key: x\n" + COUNTER


def noop(transform: str, transition: str = "") -> str:
    """A state that transforms."""
    return f"- id: n\n  type: noop\n  transform: {transform}\n" + (
        f"  transition: {transition}\n" if transition else ""
    )

"""Flows: state machines written in YAML, whose variables last between runs, and functions in any language.

::

    flows = holdfast.open("data").namespace("prod").flows
    flows.register("/counter.yaml", text)
    flows.run("/counter.yaml")

An :class:`~holdfast.flows.engine.Engine` runs instances; :class:`~holdfast.flows.verbs.Flows` are the verbs that a
namespace has. What they need is loaded when they are first used, and is installed by ``pip install "holdfast[flows]"``.
"""

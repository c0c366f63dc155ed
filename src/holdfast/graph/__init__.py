"""Graphs of tasks: run once, in parallel, and gone on with where they stopped.

::

    @holdfast.task
    def add(a, b):
        return a + b

    scope.run(add(add(1, 2), 3))

A call of a task gives a :class:`~holdfast.graph.node.Node` and runs nothing. :meth:`Scope.run <holdfast.Scope.run>`
runs what is not stored, and each result is stored by the worker that made it.
"""

"""Direktiv's own HTTP interface, ``/api/v2``, over the same store: variables, namespaces and files.

A namespace is the scope ``namespace:NAME``, and what lies in it are its variables. A workflow's are in
``workflow:/path.yaml`` below it, an instance's in ``instance:UUID``, and its files are the records of ``file:tree``.
"""

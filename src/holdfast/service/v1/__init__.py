"""``/v1``: the service's own interface, for programs of any language."""

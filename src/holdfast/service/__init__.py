"""The HTTP service: a store for programs of any language, and for Python clients that are not on its machine."""

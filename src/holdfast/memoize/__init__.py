"""Functions that are computed once, whoever calls them."""

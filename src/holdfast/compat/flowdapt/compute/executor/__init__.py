"""The engines that stages run on."""

_INTERNAL = ("memory",)  # a module that the original does not have: found by our name only

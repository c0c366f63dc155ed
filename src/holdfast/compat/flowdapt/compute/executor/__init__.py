"""The engines that stages run on."""

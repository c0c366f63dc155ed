"""What definitions have evaluated: jq, regular expressions and JSON Schema, in child processes.

What hangs, crashes or grows there does no harm here, and what it sees is the data that it is given.
"""

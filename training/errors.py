"""What goes wrong because of what was given, and not because of the code."""


class UnusableInput(Exception):
    """Data, weights or a profile cannot be used; the message says which and why."""

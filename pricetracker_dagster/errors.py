"""What a user can mend: one kind of error, which says what is wrong in one plain line and ends a command.

Whatever else is raised is a mistake of ours, and is told as one.
"""


class PricetrackerError(Exception):
    """Something a user can mend. The message names the thing, the value and the way out."""

    exit_status = 1
    """Of a command that ends with it: 2 for a wrong name, else 1."""

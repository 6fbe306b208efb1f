"""`keystile explain`: the command, and what it tells."""

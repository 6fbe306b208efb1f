"""`keystile check`: the command, what it warns about, and which routes an app has."""

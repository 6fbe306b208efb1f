"""`keystile dashboard`: the pages for people, on this computer."""

"""The arithmetic of windows, and what surrounds it: the notation, the subjects, what several windows say together.

Knows the words and `_ground`; of `rules.network` only how an address is read. `windows` is the arithmetic in Python
and `limiters/windows.lua` its twin for Redis: change both or neither, and one contract suite tells whether they agree.
The packed form (`packed`) is stored, so old values must still be read. The rest can be changed here alone.
"""

"""What a stranger's bytes cost: every parser, at sizes far beyond what an honest client sends.

`table.py` names all that is fed by strangers, `fed.py` finds it in the source, and a test compares the two: a new
parser is in the table, or the table says why no stranger feeds it.
"""

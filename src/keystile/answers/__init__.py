"""What goes out: the gate's own headers, refusals, envelopes, host errors, pages, and what `current()` gives a handler.

Knows the rules, the words, the keys' format and the gate's outcome; knows no door and no server. Each writer is built
for the text type of one door. How a refusal is written (`responses`), the table of error codes (`hosterrors`), the form
of a page (`pages`) and the format of a cursor (`cursors`) can each be changed in their module alone. What is added
after the app's bytes (`shape`, `envelopes`) changes the length of an answer, so look at the writers as well.
"""

"""keystile in the words of a framework: one module for each, which imports it, and which no other room knows.

The door decides; an integration tells a framework what was decided. It hands the caller to handlers, and it writes what
the gate asks for into the app's own documents. The one thing that it decides is `require`: a check inside the app, for
those who want a scope to stand beside its handler. `refusing` answers that as the gate would have.
"""

"""The commands about what a store keeps: keys, projects, organizations, and the audit. A module for each noun.

What they share: how records are shown (`shown`), options (`options`), pages of lists (`pages`), and what a change asks
before, says after and leaves in the audit (`changing`).
"""

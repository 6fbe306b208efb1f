"""The pages about webhooks, which are there only with an outbox.

`listing` lists and makes endpoints, `one` shows one and has it enabled, disabled and tested, `changing` edits, rotates
and deletes, `deliveries` shows what came of a message. `fields` is how endpoints become text, and text their members.
"""

"""The pages. Each is a coroutine that takes a `Visit` and gives an answer; `routes` says which path it is for.

`keys` lists, `one` shows, `making` makes, `changing` edits, suspends and resumes, `rotating` gives a new secret,
`ending` revokes and deletes, `projects`, `live` and `audit` have theirs. `shown` and `fields` are how records become
text, and text becomes members of records.
"""

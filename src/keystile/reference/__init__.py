"""The pages of docs/reference that follow from the code: settings, commands, errors, headers and events.

``python -m keystile.reference FOLDER`` writes them there. `errors`, `headers` and `events` say in words what each code
and each field means, and tests hold their lists to what the package really answers, sends and tells.
"""

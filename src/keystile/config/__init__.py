"""From `keystile.toml` and the environment to a gate.

Knows the gate, its settings (`policy`) and the hashers; only `wrap` and the command line know it. How values are read
(`tables`), where they come from (`origin`) and how an error is worded (`faults`) can be changed here alone. The names,
the defaults and the checks of the settings are in `policy`, not here.
"""

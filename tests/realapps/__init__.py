"""Services that are not ours, as their registry gives them, behind the gate by `keystile.toml` alone."""

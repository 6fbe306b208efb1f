"""A service that was there before the gate and was not changed for it."""

"""The settings of what stands beside the gate; each knows the settings of no other."""

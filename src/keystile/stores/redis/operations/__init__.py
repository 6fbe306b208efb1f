"""What the store does, with keys, their owners, and counts; in several steps where several slots are concerned."""

"""Rules: plain functions on plain values. No I/O, no clock and no randomness: moments and tokens are arguments."""

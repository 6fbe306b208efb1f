"""What `make bench` does: measure everything, compare it with the aims, and write the page, its tables and pictures."""

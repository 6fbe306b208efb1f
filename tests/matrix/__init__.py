"""Every server that keystile is said to work on, asked over raw sockets: what gets through, and what does not."""

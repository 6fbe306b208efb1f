"""Working: a loop that takes due messages from the outbox, sends them, and notes what came of it."""

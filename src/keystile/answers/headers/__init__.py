"""Fields of an answer's head that have rules of their own: limits, CORS, the end of a key."""

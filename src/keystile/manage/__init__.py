"""Managing keys over HTTP and by hand: who may manage what, the operations, and the pages for people."""

"""Five published APIs, reproduced by the examples in `examples/contracts`: each point of each contract is a test."""

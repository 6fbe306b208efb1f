"""Apps of real frameworks with and without a gate, behind real servers and in process, under the same load in turns."""

"""The reader of networks: the trace of operations, the affine graph with its rules, the piecewise linear form."""

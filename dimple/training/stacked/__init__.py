"""Training of many seeds of one network at once, with the parameters of all of them in one tensor."""

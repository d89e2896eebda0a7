"""The interactive page of a run, in one file."""

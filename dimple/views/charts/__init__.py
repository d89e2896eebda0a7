"""Charts of measured quantities, drawn with matplotlib."""

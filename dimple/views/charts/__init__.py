"""Charts of measured quantities, drawn by matplotlib."""

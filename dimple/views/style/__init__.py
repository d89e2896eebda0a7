"""Colors, fonts and markers that all views share."""

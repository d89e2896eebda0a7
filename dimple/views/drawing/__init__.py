"""Drawing in the plane: class regions, insets, panels of text."""

"""The content of a view, without a renderer: frames, points, colors of scalars, texts and cross-sections."""

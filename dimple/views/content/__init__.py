"""Content of the views, independent of any renderer: frames, points, color scales, labels and cross-sections."""

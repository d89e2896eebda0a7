"""Outputs of a finished run: film, page, report, archive, window, napari, the gallery of scenes."""

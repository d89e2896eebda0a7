"""Outputs of a finished run: film, web page, report, archive, window, napari, ParaView, gallery of scenes."""

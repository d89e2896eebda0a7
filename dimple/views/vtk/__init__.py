"""Drawing in space with VTK: surfaces, glyphs, outlines, billboards."""

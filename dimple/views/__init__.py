"""Views of a run; `content` is what is shown, each output has a folder of its own."""

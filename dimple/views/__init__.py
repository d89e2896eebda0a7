"""What is shown: frames of a run, the film, the window, the pages and the files for ParaView."""

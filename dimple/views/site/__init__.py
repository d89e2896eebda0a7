"""The static site: gallery of scenes, tutorials, reference of the public names."""

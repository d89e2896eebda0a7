"""Slices: class regions and boundaries of a network in a plane or a space through its inputs."""

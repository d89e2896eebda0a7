"""Class regions of a network in a plane or a space through its inputs."""

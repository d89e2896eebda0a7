"""`dimple probe`: the same probes on a network and data of one's own."""

"""The desktop window: panels, controls, colorings, recording."""

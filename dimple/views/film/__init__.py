"""Films, sheets of key frames and thumbnails."""

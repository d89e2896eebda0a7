"""Pictures drawn with Pillow: drawings of the plane, class regions, insets and info panels."""

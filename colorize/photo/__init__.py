"""Photo files: read from any format, and written again with everything that was in them."""

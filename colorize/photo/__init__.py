"""Photo files: read whatever they are, coloured, and written again with all that was in them."""

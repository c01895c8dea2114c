"""Training as iterators: data -> minimize -> progress, each a plain object that can be iterated again."""

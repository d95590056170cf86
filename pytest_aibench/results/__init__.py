"""Records: their schema, the environment they carry, and the store that keeps them."""

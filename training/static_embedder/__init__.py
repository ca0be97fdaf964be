"""How the builtin static embedder is made: distilled from a sentence encoder, fitted for retrieval."""

"""The builtin static embedder, fitted to the orders that the reranker makes."""

"""How the small listwise model is made: encoder -> causal decoder -> trained on windows -> exported."""

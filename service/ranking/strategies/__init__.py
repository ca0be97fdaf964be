"""Ways of spending prompts on a list: each strategy is one short, pure file, listed in ``registry.py``."""

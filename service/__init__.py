"""Onepass: an online listwise reranking service.

One forward pass, a few logits: a language model is asked *which of these labels comes next?* over a window of
passages, and the order of the window is read from the logits of the first generated token (FIRST, arXiv 2406.15657).
"""

__version__ = "0.1.0"

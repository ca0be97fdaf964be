"""Sources of documents: every reader gives a stream of ``Document`` and, where it is cheap to know, their number."""

"""The first stage: from a query's text to candidates."""

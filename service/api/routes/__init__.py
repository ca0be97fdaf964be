"""Endpoints, grouped by whom they serve."""

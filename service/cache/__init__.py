"""Answers kept for the next time the very same question is asked; nothing here knows HTTP or a model."""

"""What happened, as frozen events, and where they go."""

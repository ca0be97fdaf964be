"""Text encoders for the dense half of the first stage."""

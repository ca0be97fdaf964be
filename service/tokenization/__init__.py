"""Text to token ids: tokenizers, words remembered, and what untrusted text must not spell."""

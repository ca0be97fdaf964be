"""Language models as one question: prompts in, label logits out. Nothing else about a model leaves this room."""

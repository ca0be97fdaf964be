"""LoRA fine-tuning of a listwise decoder that vLLM serves: judgements -> prompts of its profile -> merged weights."""

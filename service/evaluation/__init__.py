"""Measuring the road a request takes: first stage and reranked order, side by side, against human judgements."""

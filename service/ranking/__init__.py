"""From candidates to an order: strategies plan windows, the driver has them read, profiles say how a model is asked."""

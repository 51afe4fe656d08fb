"""Array functions with gradients of their own, by platform; no layers, no networks."""

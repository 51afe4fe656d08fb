"""Array functions with custom gradients per platform; no layers, no networks."""

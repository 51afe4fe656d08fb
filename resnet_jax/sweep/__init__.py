"""All runs of an experiment: plan, estimate of costs, and execution."""

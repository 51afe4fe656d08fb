"""Data: sources, sampler, decoding, crops, augmentation, and the input pipeline."""

"""Face embeddings: recognition networks as differentiable TensorFlow functions."""

"""What a training step holds beside the model: optimizer, metrics, averages."""

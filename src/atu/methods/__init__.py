"""What is trained and against which loss. Tensors in, tensors out."""

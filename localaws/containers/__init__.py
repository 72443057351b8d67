"""What the PyTorch deep learning images bring: script mode for training, the handler contract for serving."""

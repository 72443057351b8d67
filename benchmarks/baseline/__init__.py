"""What a beginner writes: the other side of the comparisons. It is right, and not made slower than it would be."""

"""What a beginner writes: the other side of the comparisons. It is right, and it is not made slower than it would be."""

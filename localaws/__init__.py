"""An AWS account on this machine: MiniStack, plus SageMaker and Application Auto Scaling that really run."""

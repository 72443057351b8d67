"""An AWS account on this machine: MiniStack, plus SageMaker, scaling and EC2 instances that really run."""

"""EC2 instances that run: MiniStack keeps their records, this gives each a directory, an environment and processes."""

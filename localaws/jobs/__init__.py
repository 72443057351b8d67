"""Running one job: its workspace (/opt/ml), S3 in and out, its processes, their logs and metrics."""

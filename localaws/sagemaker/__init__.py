"""SageMaker, one noun a file. Each exposes OPERATIONS: dict[str, Handler]."""

"""Operators: the Amazon provider's, made safe to retry and to stop, and those it lacks."""

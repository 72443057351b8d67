"""Endpoints as processes: what a variant runs, its instances, who answers for an endpoint, and the metrics of it."""

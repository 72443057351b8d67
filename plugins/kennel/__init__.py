"""The package Kennel's DAGs are written with."""

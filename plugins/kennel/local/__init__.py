"""Kennel on one machine: the local AWS and Airflow in the background, and what a person does with them."""

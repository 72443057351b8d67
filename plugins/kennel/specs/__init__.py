"""Pure functions from settings and names to the request body of one AWS API call."""

from kennel.config import Classifier


def tags(classifier: Classifier) -> list[dict[str, str]]:
    """What jobs, models and endpoints are tagged with, so that their costs can be told apart."""
    return [{"Key": "kennel:classifier", "Value": classifier.name}]

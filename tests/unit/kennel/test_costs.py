import pytest

from kennel.config import Classifier
from kennel.costs import CostError, Planned, check, planned, planned_on_ec2


def test_the_bound_of_a_run_is_every_job_at_its_limit(dogs: Classifier) -> None:
    stages = planned(dogs, max_jobs=8, training_instance_type="ml.m5.xlarge")
    assert stages[1] == Planned("tune", 8, 1, "ml.m5.xlarge", 1800)
    hours = {"ml.c5.2xlarge": 2, "ml.m5.xlarge": 4 + 1 + 1}
    prices = dogs.costs.prices
    assert check(stages, dogs.costs) == pytest.approx(sum(prices[name] * count for name, count in hours.items()))


def test_every_instance_of_a_training_counts(dogs: Classifier) -> None:
    four = dogs.model_copy(update={"train": dogs.train.model_copy(update={"instance_count": 4})})
    more = check(planned(four, 8, "ml.m5.xlarge"), dogs.costs) - check(planned(dogs, 8, "ml.m5.xlarge"), dogs.costs)
    assert more == pytest.approx(3 * dogs.costs.prices["ml.m5.xlarge"])


def test_every_instance_of_an_embedding_counts(dogs: Classifier) -> None:
    four = dogs.model_copy(update={"embed": dogs.embed.model_copy(update={"instance_count": 4})})
    more = check(planned(four, 8, "ml.m5.xlarge"), dogs.costs) - check(planned(dogs, 8, "ml.m5.xlarge"), dogs.costs)
    assert more == pytest.approx(3 * 2 * dogs.costs.prices["ml.c5.2xlarge"])
    assert planned_on_ec2(four, "m5.xlarge")[0] == planned(four, 8, "ml.m5.xlarge")[0]


def test_a_run_that_could_cost_too_much_is_refused_with_its_parts(dogs: Classifier) -> None:
    with pytest.raises(
        CostError, match=r"up to 87\.\d\d USD \(embed 0\.82, tune 86\.\d\d.*max_cost = 10\.00: run fewer"
    ):
        check(planned(dogs, max_jobs=750, training_instance_type="ml.m5.xlarge"), dogs.costs)


def test_an_instance_type_without_a_price_is_named(dogs: Classifier) -> None:
    with pytest.raises(CostError, match=r"costs\.prices has no price of ml\.p9\.large: add it"):
        check(planned(dogs, max_jobs=1, training_instance_type="ml.p9.large"), dogs.costs)

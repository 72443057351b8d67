import pytest

from kennel import stages
from kennel.config import Classifier


@pytest.mark.parametrize(("approval", "choices"), [("auto", ["auto", "ask"]), ("ask", ["ask"])])
def test_whoever_starts_a_run_may_have_a_person_asked_but_not_pass_that_over(
    dogs: Classifier, approval: str, choices: list[str]
) -> None:
    evaluate = dogs.evaluate.model_copy(update={"approval": approval})
    param = stages.params(dogs.model_copy(update={"evaluate": evaluate}))["approval"]
    assert param.value == approval
    assert param.schema["enum"] == choices

"""The size of the YAML of a run: expanded aliases and strings are counted over all documents and files."""

from __future__ import annotations

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.kube_yaml.parser import YamlError, events
from kubocd_gen.kube_yaml.reader import MAX_EXPANSION, read_document, read_documents

TENFOLD = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"


def budget(values: int) -> Budget:
    return Budget(moved(LIMITS, {"yaml-values": values}))


def test_values_are_added_up_over_documents() -> None:
    with pytest.raises(BudgetExceededError) as caught:
        list(read_documents("---\n".join([TENFOLD] * 20), "a.yaml", budget=budget(10_000)))
    assert caught.value.name == "yaml-values"
    assert caught.value.problem.position is not None
    assert caught.value.problem.position.path == "a.yaml"


def test_values_are_added_up_over_files() -> None:
    run = budget(10_000)
    with pytest.raises(BudgetExceededError):
        for number in range(20):
            read_document(TENFOLD, f"{number}.yaml", budget=run)


def test_values_without_aliases_are_counted() -> None:
    run = budget(100_000)
    read_document("a: [1, 2, 3]\n", "a.yaml", budget=run)
    assert 4 <= run.spent("yaml-values") <= 20


def test_an_alias_of_a_long_string_counts_more_than_one_of_a_short_string() -> None:
    aliases = ", ".join(["*a"] * 2000)
    assert read_document(f"a: &a x\nb: [{aliases}]\n", "a.yaml") is not None
    with pytest.raises(YamlError, match=f"more than {MAX_EXPANSION} values"):
        read_document(f"a: &a {'x' * 10_000}\nb: [{aliases}]\n", "a.yaml")


def test_colons_do_not_cause_repeated_parsing() -> None:
    text = f"[{'x,' * 50_000}{'a:,' * 29}]\n"
    taken = 0
    with pytest.raises(YamlError):
        list(read_documents(text, "a.yaml"))
    for _ in events(f"[{'x,' * 500}{'a:,' * 29}]\n"):
        taken += 1
    assert taken > 500

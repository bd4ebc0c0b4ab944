"""Source files that are not read again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout import discovery
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.sources import documents
from kubocd_gen.sources.documents import Sources, read_resources
from kubocd_gen.sources.known_files import KnownFiles
from kubocd_gen.state.store import State
from tests.support.source_resources import context, release

pytestmark = pytest.mark.usefixtures("later")


@dataclass
class Reading:
    """Reads the directory `sources` again and again, with one state; `read` are the files that were read."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    state: State = field(default_factory=lambda: State(None))
    read: list[str] = field(default_factory=list)
    files: CheckoutFiles | None = None
    settings: str = ""

    def __post_init__(self) -> None:
        real = discovery.read_source

        def read_source(path: Path, *rest: object) -> object:
            self.read.append(path.name)
            return real(path, *rest)  # type: ignore[arg-type]

        self.monkeypatch.setattr(documents, "read_source", read_source)

    def __call__(self, budget: Budget | None = None, *, known: bool = True) -> tuple[Sources, Problems]:
        self.read.clear()
        problems = Problems()
        files = KnownFiles(self.state, self.settings) if known else None
        found = read_resources(
            ["sources"], self.root, [], problems, files=self.files, budget=budget or Budget(), known=files
        )
        return found, problems

    def write(self, name: str, text: str) -> Path:
        path = self.root / "sources" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    reading = Reading(tmp_path, monkeypatch)
    reading.write(
        "a.yaml", f"{context()}---\nkind: List\nitems:\n- {{apiVersion: kubocd.kubotal.io/v1alpha1, kind: X}}\n"
    )
    reading.write("b.yaml", release())
    reading.write("other.yaml", "a: 1\n")
    return reading


def described(sources: Sources) -> list[tuple[object, ...]]:
    return [
        (one.value, one.document, one.prefix, one.file.path, one.file.text, str(one.position("kind")))
        for one in sources.resources
    ]


def test_files_that_have_not_changed_are_not_read(reading: Reading) -> None:
    first, _ = reading()
    assert sorted(reading.read) == ["a.yaml", "b.yaml", "other.yaml"]
    second, problems = reading()
    assert reading.read == []
    assert described(second) == described(first) == described(reading(known=False)[0])
    assert list(problems) == []
    assert [one.digest for one in first.resources] == [one.digest for one in second.resources]
    assert len({one.digest for one in first.resources}) == 3


def test_a_change_of_the_same_size_and_time_is_read(reading: Reading) -> None:
    reading()
    path = reading.root / "sources/b.yaml"
    status = path.stat()
    path.write_text(release("wab"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert reading()[0].resources[-1].name == "wab"
    assert reading.read == ["b.yaml"]


def test_a_touched_file_is_read_but_not_parsed(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    first = described(reading()[0])
    os.utime(reading.root / "sources/b.yaml")
    monkeypatch.setattr(documents, "_read_file", None)
    assert described(reading()[0]) == first
    assert "b.yaml" in reading.read
    reading()
    assert reading.read == []


def test_a_directory_that_becomes_a_symlink_out_of_the_checkout_is_refused(reading: Reading) -> None:
    reading.files = CheckoutFiles(reading.root)
    (reading.root / "sources/sub").mkdir()
    (reading.root / "sources/sub/c.yaml").write_text(release("inside"))
    reading()
    outside = reading.root.parent / f"{reading.root.name}-outside"
    (reading.root / "sources/sub").rename(outside)
    (reading.root / "sources/sub").symlink_to(outside)
    found, problems = reading()
    again, expected = reading(known=False)
    assert list(problems) == list(expected) != []
    assert described(found) == described(again)


def test_a_file_that_becomes_a_symlink_to_itself_elsewhere_is_read_again(reading: Reading) -> None:
    reading()
    path = reading.root / "sources/b.yaml"
    path.rename(reading.root / "b.yaml")
    path.symlink_to(reading.root / "b.yaml")
    assert len(reading()[0].resources) == 3
    assert "b.yaml" in reading.read


def test_files_with_problems_are_never_known(reading: Reading) -> None:
    reading.write("c.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nx: [\n")
    for _ in range(2):
        found, problems = reading()
        assert not found.complete
        assert [one.code for one in problems] == ["bad-yaml"]
    assert reading.read == ["c.yaml"]


def test_values_without_an_exact_text_have_no_digest(reading: Reading) -> None:
    reading.write("c.yaml", release("c", extra="parameters: {a: .nan}\n"))
    reading()
    found, _ = reading()
    assert [one.digest != "" for one in found.resources if one.file.path.endswith("c.yaml")] in ([], [False])


def test_other_settings_read_everything(reading: Reading) -> None:
    reading()
    reading.settings = "other"
    reading()
    assert len(reading.read) == 3


def test_a_file_that_changes_during_a_run_is_not_quoted(reading: Reading) -> None:
    reading()
    found, _ = reading()
    reading.write("b.yaml", release("changed"))
    with pytest.raises(ProblemsError, match="changed while"):
        _ = found.resources[-1].file.text


def test_known_files_cost_what_reading_them_has_cost(reading: Reading) -> None:
    cold, warm = Budget(), Budget()
    reading(cold)
    reading(warm)
    assert reading.read == []
    for name in ("source-bytes", "yaml-values"):
        assert cold.spent(name) == warm.spent(name) > 0
    os.utime(reading.root / "sources/b.yaml")
    touched = Budget()
    reading(touched)
    assert touched.spent("source-bytes") == cold.spent("source-bytes")


def test_a_limit_is_exceeded_in_the_file_in_which_it_would_be_without_a_state(reading: Reading) -> None:
    cold = Budget()
    reading(cold)
    limits = moved(LIMITS, {"yaml-values": int(cold.spent("yaml-values")) - 1})
    positions = []
    for known in (True, False):
        with pytest.raises(BudgetExceededError) as found:
            reading(Budget(limits), known=known)
        positions.append(found.value.problem)
    assert positions[0] == positions[1]


def test_what_is_not_a_source_any_more_costs_what_it_is(reading: Reading) -> None:
    reading()
    reading.write("other.yaml", "a: 1\n" * 1000)
    warm, cold = Budget(), Budget()
    reading(warm)
    reading(cold, known=False)
    assert warm.spent("source-bytes") == cold.spent("source-bytes")

"""Environment variables that no flag reads, and messages about those that one reads."""

from __future__ import annotations

import pytest

from kubocd_gen.cli.cache import cache
from kubocd_gen.cli.variables import unknown_variables, variable_of

LIST = cache.commands["list"]


def test_a_variable_is_named_after_its_flag() -> None:
    assert variable_of("--kubocd-namespace") == "KCD_GEN_KUBOCD_NAMESPACE"


@pytest.mark.parametrize(
    "name",
    ["KCD_GEN_CACHE_DIR", "KCD_GEN_LOCKED", "KCD_GEN_VERBOSE", "KCD_GEN_COMMENT_TOKEN", "KCD_OCI_USER", "PATH"],
)
def test_a_flag_of_any_command_is_known(name: str) -> None:
    assert list(unknown_variables([name], LIST)) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("KCD_GEN_OFLINE", "did you mean 'KCD_GEN_OFFLINE'?"),
        ("KCD_GEN_CACHEDIR", "did you mean 'KCD_GEN_CACHE_DIR'?"),
        ("KCD_GEN_", "use the name of a flag"),
        ("KCD_GEN_XYZ", "use the name of a flag"),
    ],
)
def test_any_other_variable_is_a_warning(name: str, hint: str) -> None:
    (found,) = unknown_variables([name, "PATH"], LIST)
    assert (found.code, found.severity) == ("unknown-variable", "warning")
    assert name in found.message
    assert (found.hint or "").startswith(hint)

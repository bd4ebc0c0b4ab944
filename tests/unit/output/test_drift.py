"""How a file that is out of date is shown."""

from __future__ import annotations

from kubocd_gen.output.drift import difference


def test_an_absolute_path_has_one_slash_after_the_side() -> None:
    """`init` shows files above the current directory with their absolute path."""
    assert list(difference(b"a: 1\n", b"a: 2\n", "/srv/platform/kcd-gen.yaml"))[:2] == [
        "--- a/srv/platform/kcd-gen.yaml",
        "+++ b/srv/platform/kcd-gen.yaml",
    ]

"""Git's conflict markers in a file."""

from __future__ import annotations

from kubocd_gen.checkout.conflicts import both_sides, conflict_line

MERGE = """\
a
<<<<<<< HEAD
ours
||||||| 1234567
base
=======
theirs
>>>>>>> other
b
=======
"""


def test_the_first_marker_is_found() -> None:
    assert conflict_line(MERGE) == 2
    assert conflict_line("<<<<<<<\n") == 1
    assert conflict_line("a <<<<<<< b\n<<<<<<<<\n=======\n") is None


def test_each_side_is_a_whole_file() -> None:
    assert both_sides(MERGE) == ("a\nours\nb\n=======\n", "a\ntheirs\nb\n=======\n")
    assert both_sides("a\nb") == ("a\nb", "a\nb")


def test_an_unfinished_conflict_has_two_sides() -> None:
    assert both_sides("<<<<<<< a\nours\n=======\ntheirs\n") == ("ours\n", "theirs\n")

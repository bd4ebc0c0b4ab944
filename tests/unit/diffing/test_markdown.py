"""Values from sources have no effect on the Markdown of the comment that contains them."""

from __future__ import annotations

import html.parser
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.compiler.value_changes import ABSENT, changes
from kubocd_gen.diffing.lines import view
from kubocd_gen.diffing.markdown import LIMIT, markdown
from kubocd_gen.diffing.records import Comparison, Danger, ReleaseDifference, ReleaseSide, ResourceDifference
from kubocd_gen.diffing.report import page, text_lines

HOSTILE = [
    "```\n</details> @everyone <script>alert(1)</script>\n```",
    "````````",
    "` | @somebody `` [x](https://evil.example.com)",
    "\u202e\x1b[31m\r\nred",
    "<img src=x onerror=alert(1)>",
    "</code></summary>\n\n# Heading\n\n- @team",
    "x" * 100_000,
    "",
]


def comparison(old: Any, new: Any, *, count: int = 1, name: str = "web", revision: str = "main") -> Comparison:
    side = ReleaseSide("registry.example.com/web:1.0.0", f"sha256:{'0' * 64}", False, False, {"web-main": "web 1.0.0"})
    releases = []
    for number in range(count):
        resource = ResourceDifference(
            "HelmRelease", "default", f"{name}{number}", "changed", tuple(changes({"v": old}, {"v": new}))
        )
        danger = Danger("storage-changed", f"'{old}' changes", "prod", f"default/{name}{number}")
        releases.append(ReleaseDifference("prod", "default", f"{name}{number}", side, side, (resource,), (danger,)))
    return Comparison(revision, "0" * 40, (count, count), tuple(releases), False)


def outside_of_code(text: str) -> str:
    """Return a comment without its fences, code spans and code elements."""
    text = re.sub(r"^(`{3,})[a-z]*\n(?:(?!\1$).*\n)*?\1$", "", text, flags=re.MULTILINE)
    text = re.sub(r"<code>[^<\n]*</code>", "", text)
    return re.sub(r"(?<!`)(`+)(?!`)([^\n]*?[^`\n]|)(?<!`)\1(?!`)", "", text)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("old", HOSTILE)
@pytest.mark.parametrize("new", [*HOSTILE[:3], ABSENT, {"```\n@x": ["<b>", {"|": 1}]}])
def test_hostile_values_stay_in_code(old: Any, new: Any, count: int) -> None:
    text = markdown(view(comparison(old, new, count=count)))
    rest = outside_of_code(text)
    for mark in ("@", "<script", "<img", "evil", "Heading", "\u202e", "\x1b", "\r"):
        assert mark not in rest
    assert text.count("<details>") == text.count("</details>") - len(
        re.findall(r"^[-+ ].*</details>", text, re.MULTILINE)
    )
    assert len(text.encode()) < LIMIT


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_line_of_a_multiline_value_has_its_diff_marker(old: str, new: str) -> None:
    text = markdown(view(comparison(old, new)))
    for body in re.findall(r"^(`{3,})diff\n(.*?)^\1$", text, re.MULTILINE | re.DOTALL):
        assert all(line[:2] in ("- ", "+ ", "  ") for line in body[1].splitlines())


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes.update(name for name, _ in attrs)


@pytest.mark.parametrize("old", HOSTILE)
def test_hostile_values_are_plain_text_in_html(old: str) -> None:
    tags = Tags()
    tags.feed(page(view(comparison(old, "new", count=4, revision="<script>"))))
    assert not tags.seen & {"script", "img", "link", "b", "a"}
    assert not tags.attributes & {"onerror", "src", "href"}


@pytest.mark.parametrize("old", HOSTILE)
def test_hostile_values_are_printable_on_a_terminal(old: str) -> None:
    assert all(line.isprintable() for line in text_lines(view(comparison(old, "new"))))


def test_the_limit_holds_for_thousands_of_releases() -> None:
    text = markdown(view(comparison("`" * 300, "b" * 300, count=3000, name="a-rather-long-name-of-a-release-")))
    assert len(text.encode()) < LIMIT
    assert "more" in text


def test_omitted_releases_are_counted() -> None:
    releases = comparison("a", "b").releases
    many = Comparison(
        "main",
        "0" * 40,
        (50, 50),
        tuple(
            ReleaseDifference(
                "prod",
                "default",
                f"web{number}",
                one.old,
                one.new,
                (
                    ResourceDifference(
                        "HelmRelease",
                        "default",
                        "x",
                        "changed",
                        tuple(changes({"v": f"{number}a"}, {"v": f"b{number}"})),
                    ),
                ),
                (),
            )
            for one in releases
            for number in range(50)
        ),
        False,
    )
    whole, cut = markdown(view(many)), markdown(view(many), limit=9_000)
    shown = cut.count("<summary><code>default")
    assert whole.count("<summary><code>default") == 50
    assert f"… and {50 - shown} sections more" in cut

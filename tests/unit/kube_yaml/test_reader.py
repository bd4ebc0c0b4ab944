"""The expected values were verified with sigs.k8s.io/yaml v1.6.0, `YAMLToJSON` and `YAMLToJSONStrict`."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import MAX_DEPTH, MAX_EXPANSION, read_document, read_documents
from tests.support.processor import processor_limit

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {k1: 1, k2: 2}\n" + "".join(
    f"b{n}: &b{n} {{<<: [{', '.join(['*a' if n == 0 else f'*b{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(12)
)


def refusal(text: str, **options: Any) -> YamlError:
    with pytest.raises(YamlError) as caught:
        read_document(text, "f.yaml", **options)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 0, <<: {a: 1}}", {"a": 1}),
        ("{<<: {a: 1}, a: 0}", {"a": 0}),
        ("{<<: [{a: 1}, {a: 2, b: 3}]}", {"a": 1, "b": 3}),
        ("{<<: {<<: {a: 1}, b: 2}}", {"a": 1, "b": 2}),
        ("{<<: {a: 1}, <<: {a: 2}}", {"a": 2}),
        ("{<<: []}", {}),
        ("x: &x {a: 1}\nz: {<<: *x, b: 2}", {"x": {"a": 1}, "z": {"a": 1, "b": 2}}),
        ("x: &x {a: 1}\nz: {<<: [*x, {b: 2}]}", {"x": {"a": 1}, "z": {"a": 1, "b": 2}}),
        ("{'<<': {a: 1}}", {"<<": {"a": 1}}),
        ("{!!str <<: {a: 1}}", {"<<": {"a": 1}}),
        ("{!!merge <<: {a: 1}}", {"a": 1}),
        ("{! <<: {a: 1}}", {"a": 1}),
    ],
)
def test_a_merge_overrides_earlier_keys_and_the_first_map_of_a_list_wins(text: str, value: Any) -> None:
    assert read_document(text, "f.yaml") == value


@pytest.mark.parametrize("value", ["1", "null", "[1]", "*list", "[[{a: 1}]]"])
def test_a_merge_accepts_a_map_or_a_list_of_maps_but_no_alias_of_a_list(value: str) -> None:
    error = refusal(f"list: &list [{{a: 1}}]\nb:\n  <<: {value}\n")
    assert (error.problem.code, "'<<'" in error.problem.message) == ("bad-yaml", True)
    assert error.problem.position == Position("f.yaml", 3, 7)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: 2\na: 3\n",
        "{a: 1, a: 3}",
        "{y: 1, yes: 2}",
        "{1: 1, 0x1: 2}",
        "{1: 1, '1': 2}",
        "{a: 0, <<: {a: 1}}",
        "{<<: {a: 1}, a: 1}",
        "{<<: [{a: 1}, {a: 2}]}",
    ],
)
def test_a_duplicate_key_is_an_error_only_when_reading_is_strict(text: str) -> None:
    assert refusal(text, strict=True).problem.code == "duplicate-key"
    assert isinstance(read_document(text, "f.yaml"), dict)


def test_the_last_of_duplicate_keys_wins_when_reading_is_lenient() -> None:
    assert read_document("a: 1\na: {b: 2}\n", "f.yaml") == {"a": {"b": 2}}


def test_a_duplicate_key_is_reported_at_its_second_position_with_the_path_of_its_map() -> None:
    (document,) = read_documents("a:\n  - b: 1\n  - c:\n      d: 1\n      d:\n        e: 1\n", "f.yaml")
    (fault,) = document.faults
    assert fault.keys == ("a", 1, "c")
    assert fault.error.problem.position == Position("f.yaml", 5, 7)
    assert (fault.error.problem.code, "'d'" in fault.error.problem.message) == ("duplicate-key", True)


def test_a_missing_document_separator_is_suggested() -> None:
    (document,) = read_documents(
        "apiVersion: v1\nkind: A\napiVersion: v1\nspec: {apiVersion: 1, apiVersion: 2}", "f.yaml"
    )
    assert ["'---'" in (fault.error.problem.hint or "") for fault in document.faults] == [True, False]


def test_an_alias_is_its_anchor_s_value_and_anchors_can_be_redefined() -> None:
    text = "a: &x 1\nb: *x\nc: &z {d: *x}\nd: &x 2\ne: [*x, *z]\nf: &y y\n*y : *x"
    assert read_document(text, "f.yaml") == {
        "a": 1,
        "b": 1,
        "c": {"d": 1},
        "d": 2,
        "e": [2, {"d": 1}],
        "f": True,
        "true": 2,
    }


def test_an_anchor_ends_with_its_document() -> None:
    documents = list(read_documents("a: &x 1\n---\nb: *x\n---\nc: 1\n", "f.yaml"))
    assert [document.value for document in documents] == [{"a": 1}, None, {"c": 1}]
    assert documents[1].error is not None
    assert "'&x'" in documents[1].error.problem.message
    assert documents[1].error.problem.position == Position("f.yaml", 3, 4)


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "&a {b: [{c: *a}]}", "&a {<<: *a}", "&a {b: {<<: [*a]}}"])
def test_an_anchor_whose_value_contains_itself_is_an_error(text: str) -> None:
    assert refusal(text).problem.message == "the value of anchor '&a' contains itself"


@pytest.mark.parametrize("text", [BOMB, MERGE_BOMB, "- &a " + "[" * 90 + "]" * 90 + "\n- *a" * 4000])
def test_aliases_and_merges_expand_to_a_limited_number_of_values(text: str) -> None:
    with processor_limit(10):
        error = refusal(text)
        assert error.problem.code == "yaml-limit"
        assert f"more than {MAX_EXPANSION} values" in error.problem.message


def test_the_aliases_of_a_large_context_are_within_the_limit() -> None:
    text = "a: &a {" + ", ".join(f"k{n}: {n}" for n in range(50)) + "}\nb:\n" + "  - *a\n" * 1000
    assert len(read_document(text, "f.yaml")["b"]) == 1000


@pytest.mark.parametrize(
    "nest",
    ["[", "{a: ", "- ", '"k": {', "? ", "? [ ", '{"a":[', "[[{a: "],
)
def test_values_nested_too_deeply_are_refused_quickly(nest: str) -> None:
    with processor_limit(10):
        assert refusal(nest * 60_000).problem.code in ("yaml-limit", "bad-yaml")


def test_brackets_in_quoted_strings_do_not_count_as_nesting() -> None:
    brackets = "[" * 60_000
    assert read_document(f"a: '{brackets}'\nb: \"{brackets}\"\n", "f.yaml") == {"a": brackets, "b": brackets}
    assert read_document(f"? '{brackets}'\n: 1\n", "f.yaml") == {brackets: 1}


def test_nesting_up_to_the_limit_is_accepted() -> None:
    assert read_document("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f.yaml")
    problem = refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).problem
    assert (problem.code, "more than 100 levels" in problem.message) == ("yaml-limit", True)


@pytest.mark.parametrize(
    ("text", "words", "line", "column"),
    [
        ("a: 1\n~: 2\n", "not null", 2, 1),
        ("a: 1\n? \n: 2\n", "not null", 2, 2),
        ("a:\n  [b]: 2\n", "not a map or a list", 2, 3),
        ("a:\n  {b: c}: 2\n", "not a map or a list", 2, 3),
        ("a: {{ .x }}\n", "not a map or a list", 1, 5),
        ("a: &l [1]\n*l : 2\n", "not a map or a list", 2, 1),
    ],
)
def test_a_key_that_is_not_a_string_is_an_error(text: str, words: str, line: int, column: int) -> None:
    error = refusal(text)
    assert error.problem.message == f"a key must be a string, {words}"
    assert (error.problem.position, error.problem.hint is not None) == (Position("f.yaml", line, column), True)


@pytest.mark.parametrize(
    "text",
    [
        '"a\\/b"',
        'x: "a\\/b"',
        'x: [1, "c", "\\/"]',
        'x: "first\n  second \\/\n  third"',
        'x: "a\\\\\\/b"',
        '? "\\/"\n: 1',
        '\ufeffx: "\\/"',
        'é: {"😀": "\\/"}',
        '&a !!str "\\/"',
        'x: y\r\nz: "\\/"\r\n',
    ],
)
def test_an_escaped_slash_is_an_error(text: str) -> None:
    error = refusal(text)
    assert error.problem.code == "bad-yaml"
    assert "'\\/'" in error.problem.message
    assert "backslash" in (error.problem.hint or "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a\\/b'", "a\\/b"),
        ("a\\/b", "a\\/b"),
        ('"a\\\\/b"', "a\\/b"),
        ('"a\\\\" # \\/', "a\\"),
        ("\"a\" # '\\/'", "a"),
        ("|\n  \\/\n", "\\/\n"),
        ('["a", \'\\/\', "b"]', ["a", "\\/", "b"]),
        ('["\\\\", \\/ , "b"]', ["\\", "\\/", "b"]),
    ],
)
def test_a_backslash_before_a_slash_outside_double_quotes_is_accepted(text: str, value: Any) -> None:
    assert read_document(text, "f.yaml") == value


def test_a_large_file_of_escapes_is_read_quickly() -> None:
    with processor_limit(10):
        read_document("[" + ",\n".join(['"a\\\\/b"'] * 20_000) + "]", "f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("---\n---\na: 1\n", None),
        ("\ufeffa: 1\n", {"a": 1}),
        ("a: 1\r\nb: |\r\n  x\r\n  y\r\n", {"a": 1, "b": "x\ny\n"}),
        ("a: 1\rb: 2\r", {"a": 1, "b": 2}),
        ("%YAML 1.1\n---\na: 1\n", {"a": 1}),
        ("a: 1\n...\n", {"a": 1}),
        ('"a"#c', "a"),
        ("[a,#c\n b]", ["a", "b"]),
        ('{"a":1}', {"a": 1}),
        ("{a:1}", {"a:1": None}),
        ("[a: 1]", [{"a": 1}]),
        ("[http://x:80/y]", ["http://x:80/y"]),
        ("? a\n: b", {"a": "b"}),
        ("- - a\n  - b", [["a", "b"]]),
        ("a: >-\n  b\n  c\n\n  d\n", {"a": "b c\nd"}),
        ('a: "b\n\n  c \\\n  d"', {"a": "b\nc d"}),
        ("a: 'b: c'", {"a": "b: c"}),
    ],
)
def test_documents_are_read_as_in_kubernetes(text: str, value: Any) -> None:
    assert read_document(text, "f.yaml") == value


def test_only_the_first_document_is_read_and_later_errors_are_ignored() -> None:
    assert read_document("a: 1\n---\n]\n", "f.yaml") == {"a": 1}


def test_documents_before_a_syntax_error_are_read() -> None:
    documents = read_documents("a: 1\n---\nb: 2\n---\n]\n", "f.yaml")
    assert [(next(documents).value, line) for line in (1, 2)] == [({"a": 1}, 1), ({"b": 2}, 2)]
    with pytest.raises(YamlError) as caught:
        next(documents)
    assert caught.value.problem.position == Position("f.yaml", 5, 1)


def test_documents_after_an_invalid_document_are_read() -> None:
    documents = list(read_documents("a: 1\n---\n~: 2\nx: [1]\n---\nb: 3\n", "f.yaml"))
    assert [document.value for document in documents] == [{"a": 1}, None, {"b": 3}]
    assert "~: 2" in documents[1].source
    assert "b: 3" not in documents[1].source
    assert [document.line for document in documents] == [1, 2, 5]


@pytest.mark.parametrize(
    ("text", "position", "words", "hint"),
    [
        ("a: b: c\n", (1, 5), "mapping values are not allowed", "quote"),
        ("a: 1\n b: 2\n", (2, 3), "mapping values are not allowed", "indentation"),
        ("a:\n\tb: 1\n", (2, 1), "a tab cannot be used", "indent with spaces"),
        ("a: @b\n", (1, 4), "cannot start any token", "quote"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\n", (2, 1), "conflict marker", "merge conflict"),
        ("a: @x\n", (1, 4), "cannot start any token", "quote"),
        ("a: {{ .x }} y\n", (1, 5), "must be a string", "template"),
        (
            "a: [1\nb: 2\n",
            (2, 2),
            "did not find expected ',' or ']' in the flow sequence that starts on line 1",
            "bracket",
        ),
        ('a: "\\q"\n', (1, 5), "unknown escape character", "single quotes"),
        ("a: *\n", (1, 5), "did not find expected alphabetic", "'&' or '*'"),
        ("a: 'x\nb: 1\n", (1, 4), "unexpected end of stream", "quotation mark"),
        ("a: b\nc\n", (2, 1), "could not find expected ':'", "'key: value'"),
        ("a:\n  - b\n  c: d\n", (3, 3), "did not find expected '-'", "indentation"),
        ("a: 1\n  b\n c: 1\n", (3, 3), "mapping values", "indentation"),
        ("é: 1\nab: \x07\n", (2, 5), "control characters", "escape"),
        ("a: \x00\n", (1, 4), "control characters", "escape"),
        ("a: \ud800\n", (1, 4), "surrogate", None),
        ("%YAML 1.2\n---\na: 1\n", (1, 1), "YAML 1.1", "%YAML"),
        ("a: [b?c]\n", (1, 5), "'?'", "quote"),
        ("{a?: 1}\n", (1, 2), "'?'", "quote"),
    ],
)
def test_an_error_has_a_message_a_position_and_a_hint(
    text: str, position: tuple[int, int], words: str, hint: str | None
) -> None:
    error = refusal(text)
    assert words in error.problem.message
    assert error.problem.position == Position("f.yaml", *position)
    assert error.problem.hint is None if hint is None else hint in (error.problem.hint or "")


def test_integers_are_exact_on_request() -> None:
    text = "{a: 123456789012345678, b: 1.0, c: 0755}"
    exact = read_document(text, "f.yaml", exact_integers=True)
    assert exact == {"a": 123456789012345678, "b": 1.0, "c": 493}
    assert isinstance(exact["b"], float)
    assert read_document(text, "f.yaml") == {"a": 123456789012345680, "b": 1, "c": 493}


def test_a_large_file_is_read_in_limited_time() -> None:
    text = "".join(f"k{n}:\n  name: v{n}\n  list: [1, 'b']\n" for n in range(20_000))
    with processor_limit(25):
        assert len(read_document(text, "f.yaml")) == 20_000


def test_the_number_of_reported_duplicate_keys_is_limited() -> None:
    (document,) = read_documents("a: 1\n" * 5000, "f.yaml")
    assert len(document.faults) == 100


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[a:]", ["a:"]),
        ("{a:}", {"a:": None}),
        ("{a: b:, c: d:}", {"a": "b:", "c": "d:"}),
        ("[-:, a::, b:c:,\n d:]", ["-:", "a::", "b:c:", "d:"]),
        ("{? a:}", {"a:": None}),
        ("[1:, y:]", ["1:", "y:"]),
        ("a: [b:]\n---\nc: [d:]\n", {"a": ["b:"]}),
        ("a: [\"é:\", 'b:', \ue000:]\n", {"a": ["é:", "b:", "\ue000:"]}),
        ('{a: &x b:, c: *x, "d":[e]}', {"a": "b:", "c": "b:", "d": ["e"]}),
    ],
)
def test_a_colon_before_a_comma_or_bracket_is_part_of_a_string(text: str, value: Any) -> None:
    assert read_document(text, "f.yaml") == value


@pytest.mark.parametrize("text", ["[a:[b]]", "{a:{b: 1}}", "[:]", "[:a]", "[a:?b]", "[a:, ]]]: {", "{a:, b"])
def test_a_colon_that_go_also_refuses_is_an_error(text: str) -> None:
    assert refusal(f"x:\n  {text}\n").problem.code == "bad-yaml"


def test_many_such_colons_are_refused_in_limited_time() -> None:
    with processor_limit(10):
        assert read_document("[" + "a:," * 30 + "]", "f.yaml") == ["a:"] * 30
        assert refusal("[" + "a:," * 50_000 + "]").problem.hint == "quote the string"


@pytest.mark.parametrize("text", ["a: 1\n\ufeffb: 2\n", "---\n\ufeffa: 1\n", "\ufeff\ufeff\n\ufeffa: 1\n"])
def test_a_byte_order_mark_at_the_start_of_a_later_line_is_an_error(text: str) -> None:
    assert "byte order mark" in refusal(text).problem.message


def test_a_byte_order_mark_elsewhere_is_a_character() -> None:
    assert read_document("a: b\ufeffc\n", "f.yaml") == {"a": "b\ufeffc"}


@pytest.mark.parametrize("key", ["9223372036854775808", "18446744073709551615", "0x8000000000000000"])
def test_a_key_beyond_63_bits_is_an_error(key: str) -> None:
    assert "63 bits" in refusal(f"{{{key}: 1}}").problem.message
    assert read_document("{9223372036854775807: 1, -9223372036854775808: 2}", "f.yaml") == {
        "9223372036854775807": 1,
        "-9223372036854775808": 2,
    }


def test_an_anchor_redefined_within_its_own_value_keeps_the_inner_one() -> None:
    assert read_document("a: &x [&x 1, 2]\nb: *x\n", "f.yaml") == {"a": [1, 2], "b": 1}
    assert read_document("a: &x {c: &x [1]}\nb: *x\n", "f.yaml") == {"a": {"c": [1]}, "b": [1]}


def test_values_are_counted_over_all_documents_and_files_of_a_run() -> None:
    budget = Budget(moved(LIMITS, {"yaml-values": 2000}))
    text = "---\n".join(f"a{number}: [b, c, d]\n" for number in range(50))
    for _ in range(2):
        list(read_documents(text, "f.yaml", budget=budget))
    with pytest.raises(BudgetExceededError) as caught:
        for _ in range(4):
            list(read_documents(text, "g.yaml", budget=budget))
    assert caught.value.problem.position is not None
    assert caught.value.problem.position.path == "g.yaml"


def test_values_of_aliases_are_counted_for_each_alias() -> None:
    budget = Budget(moved(LIMITS, {"yaml-values": 2000}))
    with pytest.raises(BudgetExceededError):
        list(read_documents(f"a: &a [{', '.join('x' * 100)}]\nb: [{', '.join(['*a'] * 30)}]\n", "f", budget=budget))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: .inf\na: 1", {"a": 1}),
        ("a: [{b: -.inf}]\na: 1", {"a": 1}),
        ("a: {~: 1}\na: 2", {"a": 2}),
        ("a: {9223372036854775808: 1}\na: 2", {"a": 2}),
        ("x: &x {a: .inf}\nx: {<<: *x, a: 1}", {"x": {"a": 1}}),
        ("x: &x {~: 1}\nx: *x\nx: 1", {"x": 1}),
    ],
)
def test_a_value_that_json_cannot_have_is_accepted_if_a_duplicate_key_hides_it(text: str, value: Any) -> None:
    assert read_document(text, "f.yaml") == value
    with pytest.raises(YamlError):
        read_document(text, "f.yaml", strict=True)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a: 1\na: .inf", "2:4"),
        ("x: &x {~: 1}\nx: {<<: *x, a: 1}", "1:8"),
        ("x: &x {a: .inf}\nx: {a: 1, <<: *x}", "1:11"),
        ("x: &x .inf\nx: *x", "2:4"),
        ("x: &x {~: 1}\nx: [{<<: [{a: 1}, *x]}]", "1:8"),
        ("- {a: {9223372036854775808: 1}}", "1:8"),
    ],
)
def test_a_value_that_json_cannot_have_is_an_error_if_nothing_hides_it(text: str, position: str) -> None:
    assert str(refusal(text).problem.position) == f"f.yaml:{position}"


def test_an_invalid_document_has_no_value() -> None:
    first, second = read_documents("a: .inf\n---\nb: 1\n", "f.yaml")
    assert (first.value, first.error is None, second.value) == (None, False, {"b": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{!!null, a: 1}", {"a": 1}),
        ("[!!int, 1]", ["1"]),
        ("{!!, a: 1}", {"a": 1}),
        ("{a: &x !y,z [1], b: *x}", {"a": [1], "b": [1]}),
        ("{a: !y,z &x {c: 1}, b: *x}", {"a": {"c": 1}, "b": {"c": 1}}),
        ("a: !b[c] 1", {"a": "1"}),
        ("a: !<tag:yaml.org,2002:int> 1", {"a": 1}),
        ("a: [!!int 1, !!str 2]", {"a": [1, "2"]}),
    ],
)
def test_a_tag_can_contain_commas_and_brackets(text: str, value: Any) -> None:
    assert read_document(text, "f.yaml") == value


@pytest.mark.parametrize("text", ["[!!a,b]", "{a: !b]}", "[!<x>, 1]", "a: !b{c}"])
def test_a_tag_ends_with_a_space(text: str) -> None:
    assert refusal(text).problem.code == "bad-yaml"


def test_the_number_of_odd_tags_is_limited() -> None:
    assert read_document(f"[{'!a, x, ' * 30}]", "f.yaml") == ["x"] * 30
    assert refusal(f"[{'!a, x, ' * 31}]").problem.code == "bad-yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\n\ufeffb: 2", {"a": 1, "\ufeffb": 2}),
        ("\ufeffa: 1", {"a": 1}),
        ("\ufeff---\n\ufeffa: 1", {"\ufeffa": 1}),
        ("a: 'x\n\ufeffy'", {"a": "x \ufeffy"}),
        ("a: [\n\ufeff1, b:]", {"a": ["\ufeff1", "b:"]}),
    ],
)
def test_a_byte_order_mark_is_part_of_its_line_in_a_rendered_text(text: str, value: Any) -> None:
    assert read_document(text, "f.yaml", keep_marks=True) == value


def test_a_byte_order_mark_inside_a_file_is_an_error() -> None:
    error = refusal("a: 1\n\ufeffb: 2")
    assert (error.problem.code, str(error.problem.position)) == ("bad-yaml", "f.yaml:2:1")

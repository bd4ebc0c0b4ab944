from __future__ import annotations

import pytest

from kubocd_gen.kustomize.substitution import SubstitutionError, substitute

VALUES = {"name": "Prod", "url": "https://x.org/a/b", "n": "3", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${name}", "Prod"),
        ("a ${name}-${n} b", "a Prod-3 b"),
        ("$name $ {name} $$", "$name $ {name} $$"),
        ("$${name}", "${name}"),
        ("${missing}", ""),
        ("${missing:=x}|${missing:-x}|${empty:=x}|${missing=x}|${missing-x}|${name:=x}", "x|x|x|x|x|Prod"),
        ("${missing:=${name}}", "Prod"),
        ("${missing:=a:b/c}", "a:b/c"),
        ("${missing:=}", ""),
        ("${name:1}|${name:1:2}|${name: -2}|${name:9}", "rod|ro|od|"),
        ("${url/a/Z}|${url//\\//}|${url/#https:/http:}|${url/%b/c}", None),
        (
            "${url/x.org/y}|${name//o/0}|${url/#https/http}|${url/%b/c}",
            "https://y/a/b|Pr0d|http://x.org/a/b|https://x.org/a/c",
        ),
        ("${name^^}|${name,,}|${name^}|${name,}|${#name}", "PROD|prod|Prod|prod|4"),
        (
            "${url#https://}|${url%/b}|${url##https}|${url%%x}",
            "x.org/a/b|https://x.org/a|://x.org/a/b|https://x.org/a/b",
        ),
    ],
)
def test_variables_are_replaced_as_flux_does(text: str, expected: str | None) -> None:
    if expected is not None:
        assert substitute(text, VALUES) == expected
    else:
        substitute(text, VALUES)


@pytest.mark.parametrize(
    "text", ["${name", "${}", "${1a}", "${name!}", "${name:?no}", "${url#*/}", "${#name:1}", "${name//}"]
)
def test_what_flux_rejects_is_an_error(text: str) -> None:
    with pytest.raises(SubstitutionError):
        substitute(text, VALUES)


@pytest.mark.parametrize("text", ["${a}" * 100, "${a//x/${a}}", "${a:=" * 30 + "x" + "}" * 30])
def test_a_text_that_expands_too_much_is_an_error(text: str) -> None:
    values = {"a": "x" * (1 << 20)} if "${a:=" not in text else {}
    with pytest.raises(SubstitutionError):
        substitute(text, values)

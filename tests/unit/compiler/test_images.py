"""Where a package is pulled from."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.compiler.settings import Settings, package_interval, package_source, split_image
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.compilation import PackageSourceSpec
from tests.support.records import release

ONE = release(package={"repository": "quay.io/a/web", "tag": "1.0"})


def redirected(*redirects: dict[str, Any]) -> PackageSourceSpec:
    return package_source(ONE, Settings(package_redirects=redirects))


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("web", ("web", "latest")),
        ("quay.io/a/web", ("quay.io/a/web", "latest")),
        ("quay.io/a/web:1.0", ("quay.io/a/web", "1.0")),
        ("localhost:5000/web", ("localhost:5000/web", "latest")),
        ("localhost:5000/web:1.0", ("localhost:5000/web", "1.0")),
        ("oci://quay.io/a/web:1.0", ("quay.io/a/web", "1.0")),
    ],
)
def test_an_image_is_split_by_its_colons_and_slashes(image: str, parts: tuple[str, str]) -> None:
    assert split_image(image) == parts


@pytest.mark.parametrize("image", ["a:b:c:d", "web:1.0"])
def test_a_name_that_kubocd_can_not_split_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match=f"'{image}'"):
        split_image(image)


def test_without_a_redirect_the_fields_are_the_releases() -> None:
    source = redirected({"oldPrefix": "docker.io/", "newPrefix": "mirror/"})
    assert (source.repository, source.tag) == ("quay.io/a/web", "1.0")
    assert source.fields is ONE.package


def test_a_redirect_swaps_the_prefix_and_brings_all_other_fields() -> None:
    redirect = {"oldPrefix": "quay.io/", "newPrefix": "mirror:5000/quay/", "insecure": True}
    assert redirected(redirect) == PackageSourceSpec("mirror:5000/quay/a/web", "1.0", redirect)


def test_the_first_redirect_that_fits_is_taken() -> None:
    first, second = {"oldPrefix": "quay.io/a", "newPrefix": "one"}, {"oldPrefix": "quay.io/", "newPrefix": "two/"}
    assert redirected(first, second).repository == "one/web"
    assert redirected(second, first).repository == "two/a/web"


def test_a_redirect_may_fit_and_replace_the_tag_too() -> None:
    assert redirected({"oldPrefix": "quay.io/a/web:1.0", "newPrefix": "r.io/web:2.0"}).tag == "2.0"


def test_a_redirect_with_an_empty_new_prefix_keeps_the_image_and_brings_its_fields() -> None:
    redirect = {"oldPrefix": "quay.io/", "newPrefix": "", "secretRef": {"name": "s"}}
    assert redirected(redirect) == PackageSourceSpec("quay.io/a/web", "1.0", redirect)


def test_a_redirect_to_no_image_is_an_error_that_names_both() -> None:
    with pytest.raises(ProblemsError, match=r"'quay.io/a/web:1.0'.*'x:y:z:a/web:1.0'") as found:
        redirected({"oldPrefix": "quay.io/", "newPrefix": "x:y:z:"})
    assert found.value.problem.code == "bad-reference"


def test_the_interval_is_the_releases_unless_that_is_zero() -> None:
    settings = Settings(package_interval="7m0s")
    assert package_interval(release(), settings) == "5m0s"
    assert package_interval(release(package={"interval": "1m"}), settings) == "1m0s"
    assert package_interval(release(package={"interval": "0s"}), settings) == "7m0s"

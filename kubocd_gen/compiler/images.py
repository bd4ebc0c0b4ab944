"""Image names as KuboCD takes them apart, and Config's redirects of packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.model.compilation import PackageSourceSpec
from kubocd_gen.model.releases import Release


def split_image(image: str) -> tuple[str, str]:
    """Repository and tag of an image name, by KuboCD's rule: only the number of colons and the slashes count.

    Raises ValueError for a name that KuboCD refuses.

    >>> split_image("localhost:5000/x:1"), split_image("quay.io/a/b")
    (('localhost:5000/x', '1'), ('quay.io/a/b', 'latest'))
    """
    parts = image.removeprefix("oci://").split(":")
    if len(parts) == 1:
        return parts[0], "latest"
    if len(parts) == 2 and "/" in parts[0]:
        return parts[0], parts[1]
    if len(parts) == 2 and "/" in parts[1]:
        return f"{parts[0]}:{parts[1]}", "latest"
    if len(parts) == 3:
        return f"{parts[0]}:{parts[1]}", parts[2]
    raise ValueError(f"'{image}' is not the name of an image")


def package_source(release: Release, settings: Settings) -> PackageSourceSpec:
    """The package of a Release after Config's redirects: of the first whose `oldPrefix` fits, every field is taken.

    Raises ProblemsError where the name is none that KuboCD could pull.
    """
    image = release.image
    fields: Mapping[str, Any] = release.package
    for redirect in settings.package_redirects:
        if image.startswith(redirect["oldPrefix"]):
            if redirect["newPrefix"]:
                image = redirect["newPrefix"] + image.removeprefix(redirect["oldPrefix"])
            fields = redirect
            break
    try:
        repository, tag = split_image(image)
    except ValueError as error:
        redirected = f"a package redirect of Config turns '{release.image}' into '{image}', which is not a package"
        raise ProblemsError(
            Problem(
                "bad-reference",
                str(error) if image == release.image else redirected,
                position=release.position("spec", "package", "repository"),
                hint="a package is 'registry/repository' and a tag",
            )
        ) from error
    return PackageSourceSpec(repository, tag, fields)


def package_interval(release: Release, settings: Settings) -> str:
    """The interval of the Release's sources: Config's default where the Release says `0s`."""
    interval: str = release.package.get("interval", "0s")
    return settings.package_interval if interval == "0s" else interval

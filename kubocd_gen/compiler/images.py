"""Split image names like KuboCD, and apply the package redirects of the Configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.compilation import PackageSourceSpec
from kubocd_gen.model.resources import Release


def split_image(image: str) -> tuple[str, str]:
    """Return the repository and tag of an image name, by KuboCD's rule: only the colons and slashes count.

    Raises ValueError for a name that KuboCD rejects.

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
    raise ValueError(f"'{image}' is not a valid image name")


def package_source(release: Release, settings: Settings) -> PackageSourceSpec:
    """Return the package source of a Release after the redirects of the Configs.

    The first redirect whose `oldPrefix` matches replaces all fields of the Release's `package`. Raises ProblemsError if
    KuboCD cannot pull the resulting image name.
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
        redirected = f"a package redirect turns '{release.image}' into '{image}', which is not a valid image name"
        raise ProblemsError.of(
            "bad-reference",
            str(error) if image == release.image else redirected,
            position=release.position("spec", "package", "repository"),
            hint="use 'REGISTRY/REPOSITORY' and a tag",
        ) from error
    return PackageSourceSpec(repository, tag, fields)


def package_interval(release: Release, settings: Settings) -> str:
    """Return the interval of the Release's sources: the default of the Configs if that of the Release is `0s`."""
    interval: str = release.package.get("interval", "0s")
    return settings.package_interval if interval == "0s" else interval

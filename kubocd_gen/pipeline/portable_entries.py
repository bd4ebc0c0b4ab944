"""Check what another machine says of a Release, so that nothing in it can fail later, or name a file of its own choice.

The results themselves are trusted, as those of a cache are: nobody can check them without computing them again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from kubocd_gen.budget.spending import RUN_LIMITS
from kubocd_gen.model.compilation import ChartFile, Summary
from kubocd_gen.model.finishing import REQUESTED_AT
from kubocd_gen.pipeline.release_output import is_path
from kubocd_gen.pipeline.stored_summary import stored_summary, summary_of
from kubocd_gen.state.portable import Json, strict_json

_SHA256 = re.compile("[0-9a-f]{64}")
_CODE = re.compile("[a-z][a-z0-9-]{0,63}")
_INPUTS = ("environment", "document", "request", "digest")
_ENTRY = {*_INPUTS, "contexts", "own", "problems", "searched", "spent", "summary", "written"}


def check_entry(key: str, entry: Json) -> None:
    """Raise ValueError if the entry of a Release in a state is not as `KnownReleases.keep` writes it."""
    _require(is_path(key), "the name of a Release")
    _require(_is_map(entry, _ENTRY), "an entry")
    _require(all(type(entry[name]) is str for name in _INPUTS), "an input")
    _check_contexts(entry["contexts"])
    _require(_are(entry["own"], lambda one: _are_texts(one) and len(one) == 2), "the Contexts of a Release")
    _require(_is_count(entry["searched"]), "a number of characters")
    written = entry["written"]
    if written is not None:
        _require(type(written) is list and len(written) == 3, "a written file")
        _, digest, size = written
        _require(type(digest) is str and _SHA256.fullmatch(digest) is not None and _is_count(size), "a written file")
    spent = entry["spent"]
    _require(type(spent) is dict and spent.keys() <= RUN_LIMITS.keys(), "a limit")
    _require(all(type(amount) in (int, float) and amount >= 0 for amount in spent.values()), "an amount")
    _check_problems(key, entry["problems"])
    _check_summary(key, summary_in(entry))


def summary_in(entry: Json) -> Summary:
    """Return the summary of a Release in its entry. Raises ValueError if it has another form."""
    try:
        summary = summary_of(entry, None)
        same = stored_summary(summary) == entry["summary"]
    except (TypeError, ValueError, AttributeError):
        same = False
    _require(same, "a summary")
    return summary


def check_documents(data: bytes, summary: Summary) -> None:
    """Raise ValueError if the resources of a Release are not as they are compiled, or not those of the summary."""
    documents = strict_json(data)
    _require(_are(documents, _is_resource), "the resources")
    created = []
    for document in documents:
        metadata = document["metadata"]
        created.append((document["kind"], metadata["namespace"], metadata["name"]))
        if document["kind"] == "ArtifactGenerator":
            artifacts = document["spec"].get("artifacts")
            _require(_are(artifacts, lambda one: type(one) is dict and type(one.get("name")) is str), "the artifacts")
            created += [("ExternalArtifact", metadata["namespace"], one["name"]) for one in artifacts]
    _require(tuple(created) == summary.resources, "the list of resources")


def check_charts(summary: Summary, charts: Mapping[str, ChartFile]) -> None:
    """Raise ValueError if a Release has other charts than its package has; `charts` are those by name."""
    _require(all(charts.get(name) == one for name, one in summary.charts.items()), "the charts")


def _check_contexts(text: Json) -> None:
    _require(type(text) is str, "the Contexts")
    contexts = strict_json(text.encode())

    def is_context(one: Json) -> bool:
        return type(one) is list and len(one) == 3 and _are_texts(one[:2]) and _is_text_or_none(one[2])

    _require(_are(contexts, is_context), "the Contexts")


def _check_problems(key: str, problems: Json) -> None:
    _require(_is_map(problems, {"problems", "files"}), "the problems")
    files = problems["files"]
    _require(type(files) is dict and all(type(one) is str for one in files.values()), "the files of problems")

    def is_problem(one: Json) -> bool:
        if type(one) is not list or len(one) != 8:
            return False
        severity, code, message, place, hint, release, cause, status = one
        return (
            severity in ("warning", "note")
            and type(code) is str
            and _CODE.fullmatch(code) is not None
            and type(message) is str
            and (place is None or _is_place(place, files))
            and release in (None, key)
            and _is_text_or_none(hint)
            and _is_text_or_none(cause)
            and type(status) is int
            and 0 < status < 128
        )

    _require(_are(problems["problems"], is_problem), "a problem")


def _is_place(place: Json, files: Collection[str]) -> bool:
    if type(place) is not list or len(place) != 4:
        return False
    name, line, column, is_file = place
    numbers = all(one is None or (_is_count(one) and one > 0) for one in (line, column))
    return type(name) is str and numbers and type(is_file) is bool and (not is_file or name in files)


def _check_summary(key: str, summary: Summary) -> None:
    texts = (summary.namespace, summary.name, summary.package, summary.image, summary.description)
    _require(_are_texts([*texts]) and summary.key == key, "the identity of a Release")
    _require(type(summary.protected) is bool and type(summary.deploys) is bool, "the state of a Release")
    _require(_are_texts([*summary.roles, *summary.dependencies, *summary.contexts]), "the names in a summary")
    _require(type(summary.usage) is dict and _are_texts([*summary.usage.values()]), "the usage")
    for created in summary.resources:
        _require(_are_texts([*created]), "the list of resources")


def _is_resource(one: Json) -> bool:
    if type(one) is not dict or not isinstance(one.get("kind"), str) or not isinstance(one.get("apiVersion"), str):
        return False
    metadata, spec = one.get("metadata"), one.get("spec")
    if type(metadata) is not dict or type(spec) is not dict:
        return False
    annotations = metadata.get("annotations")
    named = isinstance(metadata.get("name"), str) and isinstance(metadata.get("namespace"), str)
    if not named or type(annotations) is not dict or not _are_texts([*annotations.values()]):
        return False
    if one["kind"] == "HelmRepository" and REQUESTED_AT not in annotations:
        return False
    waits = spec.get("dependsOn", [])
    return _are(
        waits, lambda item: type(item) is dict and type(item.get("name")) is str and _are_texts([*item.values()])
    )


def _are(value: Json, valid: Callable[[Json], bool]) -> bool:
    return type(value) is list and all(map(valid, value))


def _are_texts(value: Json) -> bool:
    return type(value) is list and all(type(one) is str for one in value)


def _is_map(value: Json, names: Collection[str]) -> bool:
    return type(value) is dict and value.keys() == names


def _is_count(value: Json) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _is_text_or_none(value: Json) -> bool:
    return value is None or type(value) is str


def _require(valid: bool, what: str) -> None:
    if not valid:
        raise ValueError(f"{what} in it cannot be the result of kcd-gen")

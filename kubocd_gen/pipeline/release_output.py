"""The output files of each Release. Their content is computed when it is needed, if its digest is known."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.model.compilation import CompiledRelease
from kubocd_gen.model.finishing import NO_FINISH
from kubocd_gen.output.plan import OutputFile, ReleaseOutput
from kubocd_gen.pipeline.known_releases import KnownReleases

if TYPE_CHECKING:
    from kubocd_gen.pipeline.suspended import Kept

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def is_path(key: str) -> bool:
    """Return whether the key of a failed Release is valid, so that files can have been written for it."""
    return all(_NAME.fullmatch(part) for part in key.split("/")) and key.count("/") == 1


def kept_output(key: str) -> ReleaseOutput:
    namespace, _, name = key.partition("/")
    return ReleaseOutput(namespace, name, files=(), keep=True)


def release_output(one: CompiledRelease, kept: Mapping[str, Kept], known: KnownReleases | None) -> ReleaseOutput:
    """Return the files of a Release; `kept` are the HelmReleases that suspended ones keep."""
    summary = one.summary
    path = f"flux/{one.key}.yaml"
    files: list[OutputFile] = []
    if summary.suspended:
        written = kept[one.key]
        if written is None:
            return kept_output(one.key)
        if documents := (*one.documents, *written):
            files.append(OutputFile(path, emit_documents(documents).encode()))
    elif summary.resources:
        files.append(flux_file(one, known))
    files += [
        OutputFile(name, partial(_chart, one, name), (file.sha256, file.size))
        for name, file in one.written_charts.items()
    ]
    return ReleaseOutput(summary.namespace, summary.name, tuple(files), keep=summary.suspended)


def flux_file(one: CompiledRelease, known: KnownReleases | None) -> OutputFile:
    """Return a Release's Flux file. If `known` has its digest, its content is computed when it is needed."""
    path = f"flux/{one.key}.yaml"
    written = known.written(one) if known else None
    if written is not None:
        return OutputFile(path, partial(flux_content, one), (written.sha256, written.size))
    content = flux_content(one)
    digest = hashlib.sha256(content).hexdigest()
    if known is not None:
        known.keep_written(one, digest, len(content))
    return OutputFile(path, content, (digest, len(content)))


def flux_content(one: CompiledRelease) -> bytes:
    """Return the content of a Release's Flux file."""
    if one.printed is not None and one.finish == NO_FINISH:
        return one.printed
    return emit_documents(one.documents).encode()


def _chart(one: CompiledRelease, path: str) -> bytes:
    return one.package.files[path.rpartition("/")[2]]

"""`kcd-gen build --shard`: compile a part of the Releases, and write the results to a file that a merge reads.

A Release belongs to the shard that follows from its name alone, whatever the other Releases are. All sources are read,
because each can have any Release. What depends on other Releases is left to the merge: their order, unique names,
unused Contexts and the output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import RUN_LIMIT, Problem, Problems, ProblemsError
from kubocd_gen.files.paths import hint_of, shown_path
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.pipeline import compile_cluster
from kubocd_gen.pipeline.build import Built, state_name
from kubocd_gen.pipeline.known_releases import KnownReleases
from kubocd_gen.pipeline.packages import closing_on_error
from kubocd_gen.pipeline.release_output import flux_file
from kubocd_gen.state.portable import Section, fits, write_portable
from kubocd_gen.state.rules import rules_fingerprint
from kubocd_gen.state.store import State, open_state

if TYPE_CHECKING:
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.packages.source import PackageSources

SUFFIX = ".shard"
MOST_SHARDS = 10_000


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of the Releases. `index` counts from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_name(self) -> str:
        """The name of its file in a directory: `3-of-7.shard`."""
        return f"{self.index}-of-{self.count}{SUFFIX}"

    def has(self, key: str) -> bool:
        """Return whether the Release `namespace/name` is in this part.

        The first 8 bytes of the SHA-256 of the key, as an unsigned number with the highest byte first, modulo `count`.
        """
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


@dataclass(frozen=True, slots=True)
class BuiltShard:
    """A compiled part of each cluster. `kept` is the number of Releases in the file; None if it was not written."""

    built: Sequence[Built]
    kept: int | None


def build_shard(
    project: Project,
    packages: PackageSources,
    helm: Helm,
    shard: Shard,
    path: Path,
    *,
    jobs: int,
    state_cache: Path | None = None,
) -> BuiltShard:
    """Compile the Releases of a shard in all clusters, and write the file at `path`.

    Releases with errors are not in the file: their errors are in the result, and the merge compiles them again. If a
    limit of the run is exceeded, there is no file. With the cache directory `state_cache`, what did not change since
    an earlier build of the same shard is not compiled again. Raises ProblemsError `unusable-file`, and StateDoubtError:
    then the arguments can't be used again.
    """
    states: dict[str, State] = {}

    def compiled(cluster: Cluster) -> Built:
        problems = Problems(cluster.name)
        name = f"{state_name(project, cluster)}\0{shard}"
        state = states[cluster.name] = open_state(state_cache, name, project.directory) if state_cache else State(None)
        compilation = compile_cluster(project, cluster, packages, helm, problems, state=state, shard=shard)
        return Built(compilation, None, tuple(problems))

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool, closing_on_error(packages):
        built = list(pool.map(compiled, project.clusters))
    if any(one.code == RUN_LIMIT for each in built for one in each.diagnostics):
        return BuiltShard(built, None)
    sections = [_section(one.compilation) for one in built]
    about = {"rules": rules_fingerprint(), "version": __version__, "shard": [shard.index, shard.count]}
    try:
        write_portable(path, about, sections)
    except OSError as error:
        message = f"cannot write the shard {shown_path(path)}: {error.strerror or error}"
        raise ProblemsError(Problem("unusable-file", message, hint=hint_of(error))) from error
    for one in built:
        complete = one.compilation.complete and not one.compilation.failed
        states[one.cluster.name].save(complete=complete)
    return BuiltShard(built, sum(len(section.values) for section in sections))


def _section(compilation: Compilation) -> Section:
    known: KnownReleases | None = compilation.state
    if known is None:  # something has no exact text, so the merge compiles all Releases
        return Section(compilation.cluster.name, "", ())
    for one in compilation.releases:
        if not one.summary.suspended and one.summary.resources:
            flux_file(one, known)  # most files do not depend on other Releases, so the merge does not print them again
    values = []
    for key, entry, documents in known.current():
        value = [key, {name: field for name, field in entry.items() if name != "blob"}]
        if fits(value, documents):
            values.append((value, documents))
    return Section(compilation.cluster.name, known.environment, values)

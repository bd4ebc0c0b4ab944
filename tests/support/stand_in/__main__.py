"""The programs kubectl and helm: `python -m tests.support.stand_in kubectl ARGUMENTS`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.support.stand_in import flux, helm
from tests.support.stand_in.store import GROUPS, OF_CLUSTER, PLURALS, Object, RefusedError, Store, identity, selected

_ROUNDS = 100
_SHORT = {"crd": "CustomResourceDefinition"}


class Arguments:
    """The flags and the other words of a command line. Raises RefusedError for a flag that is not implemented."""

    VALUED = ("-n", "-o", "-l", "-p", "-f", "--version", "--set", "--set-json")
    KNOWN = (
        *("-A", "--show-managed-fields", "--ignore-not-found", "--overwrite", "--timeout", "--type", "--for"),
        *("--cascade", "--replicas", "--reset-then-reuse-values", *VALUED),
    )

    def __init__(self, words: list[str]) -> None:
        self.words: list[str] = []
        self.flags: dict[str, str] = {}
        self.sets: list[tuple[str, str]] = []
        rest = iter(words)
        for word in rest:
            name, sign, value = word.partition("=") if word.startswith("--") else (word, "", "")
            if not word.startswith("-") or word == "-":
                self.words.append(word)
            elif name not in self.KNOWN:
                raise RefusedError(f"error: unknown flag: {word}")
            elif name in ("--set", "--set-json"):
                self.sets.append((name, next(rest)))
            else:
                self.flags[name] = value if sign else next(rest) if name in self.VALUED else "true"

    @property
    def namespace(self) -> str:
        return self.flags.get("-n", "default")


def kubectl(store: Store, given: Arguments) -> None:
    verb, *words = given.words
    VERBS[verb](store, given, words)


def get(store: Store, given: Arguments, words: list[str]) -> None:
    if "-f" in given.flags:
        get_manifest(store, given)
        return
    kinds, names = _kinds(store, words)
    everywhere = "-A" in given.flags
    found = [
        one for kind in kinds for one in store.of_kind(kind)
        if kind in OF_CLUSTER or everywhere or one["metadata"].get("namespace", "") == given.namespace
    ]  # fmt: skip
    found = selected(found, given.flags.get("-l", ""))
    found = [deepcopy(one) for one in found if not names or one["metadata"]["name"] in names]
    if names and not found:
        if "--ignore-not-found" in given.flags:
            return
        raise RefusedError(f'Error from server (NotFound): {words[0]} "{names[0]}" not found')
    forbidden = os.environ.get("STAND_IN_FORBIDDEN", "").split(",")
    found = [one for one in found if one["kind"] not in forbidden]
    for one in found:
        if "--show-managed-fields" not in given.flags:
            one["metadata"].pop("managedFields", None)
    form = given.flags.get("-o", "name")
    listed: Object = {"apiVersion": "v1", "kind": "List", "items": found}
    if form == "name":
        for one in found:
            group = GROUPS[one["kind"]].rpartition("/")[0]
            _write(f"{one['kind'].lower()}{f'.{group}' if group else ''}/{one['metadata']['name']}")
    elif form.startswith("jsonpath="):
        _print_path(form.removeprefix("jsonpath="), found[0] if names else listed)
    else:
        _write(json.dumps(found[0] if names and len(found) == 1 else listed, indent=4))
    if any(kind in forbidden for kind in kinds):
        raise RefusedError("Error from server (Forbidden)")


def get_manifest(store: Store, given: Arguments) -> None:
    """Print the objects of a manifest as they are in the cluster; nothing if there are none."""
    import yaml

    wanted = [one for one in yaml.safe_load_all(sys.stdin) if one]
    live = [store.find(kind, namespace or given.namespace, name) for kind, namespace, name in map(identity, wanted)]
    for one in wanted:
        if not store.serves(one["kind"]):
            raise RefusedError(f'resource mapping not found: no matches for kind "{one["kind"]}"')
    found = [one for one in live if one]
    if found:
        _write(json.dumps(found[0] if len(found) == 1 else {"kind": "List", "items": found}))


def delete(store: Store, given: Arguments, words: list[str]) -> None:
    kinds, names = _kinds(store, words)
    if "-l" in given.flags:
        chosen = [one for kind in kinds for one in selected(store.of_kind(kind), given.flags["-l"])]
    else:
        chosen = []
        for name in names:
            one = store.find(kinds[0], given.namespace, name)
            if one is not None:
                chosen.append(one)
            elif "--ignore-not-found" not in given.flags:
                raise RefusedError(f'Error from server (NotFound): "{name}" not found')
    for one in chosen:
        store.delete(one, given.flags.get("--cascade", "background"))
    run(store)
    left = [one for one in chosen if one in store.objects]
    if left:
        raise RefusedError(f"error: timed out waiting for the condition on {identity(left[0])}")


def scale(store: Store, given: Arguments, words: list[str]) -> None:
    one = _one(store, given, words)
    store.change(one, lambda live: live["spec"].update(replicas=int(given.flags["--replicas"])))


def patch(store: Store, given: Arguments, words: list[str]) -> None:
    one, body = _one(store, given, words), json.loads(given.flags["-p"])

    def edit(live: Object) -> None:
        if given.flags["--type"] == "merge":
            _merge(live, body)
            return
        for operation in body:
            assert operation["op"] == "remove"
            *path, last = operation["path"].strip("/").split("/")
            node = live
            for step in path:
                node = node[step]
            if last not in node:
                raise RefusedError("The request is invalid: the server rejected our request")
            del node[last]

    store.change(one, edit)


def annotate(store: Store, given: Arguments, words: list[str]) -> None:
    values = dict(word.split("=", 1) for word in words if "=" in word)
    one = _one(store, given, [word for word in words if "=" not in word])
    present = one["metadata"].setdefault("annotations", {})
    if "--overwrite" not in given.flags and any(present.get(key, value) != value for key, value in values.items()):
        raise RefusedError("error: --overwrite is false but found the following declared annotation(s)")
    store.change(one, lambda live: live["metadata"]["annotations"].update(values))


def replace(store: Store, given: Arguments, words: list[str]) -> None:
    """Replace objects, each only if its resourceVersion is the current one. Status is a subresource."""
    items = json.load(sys.stdin)["items"]
    if not items:
        raise RefusedError("error: no objects passed to replace")
    for item in items:
        live = store.find(*identity(item))
        if live is None or live["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            raise RefusedError("Error from server (Conflict): the object has been modified")

        def edit(live: Object, item: Object = item) -> None:
            live.update({key: value for key, value in item.items() if key != "status"})

        store.change(live, edit)


def wait(store: Store, given: Arguments, words: list[str]) -> None:
    """Check the condition: the controllers have done everything that they do without another request."""
    wanted = given.flags["--for"]
    for word in words:
        kind, name = word.split("/")
        one = store.find(_kind(store, kind), given.namespace, name)
        if wanted == "delete":
            reached = one is None
        elif wanted == "create":
            reached = one is not None
        elif one is None:
            raise RefusedError(f'Error from server (NotFound): "{name}" not found')
        elif wanted.startswith("condition="):
            conditions = one.get("status", {}).get("conditions", [])
            reached = any(each["type"] == wanted[10:] and each["status"] == "True" for each in conditions)
        else:
            path, _, value = wanted.removeprefix("jsonpath=").partition("=")
            reached = str(next(_at(path, one), "")) == value
        if not reached:
            raise RefusedError(f"error: timed out waiting for the condition on {word}: {wanted}")


VERBS: dict[str, Callable[[Store, Arguments, list[str]], None]] = {
    one.__name__: one for one in (get, delete, scale, patch, annotate, replace, wait)
}


def helm_program(store: Store, given: Arguments) -> None:
    verb, *words = given.words
    if verb == "get":
        verb, *words = words
    name = words[0]
    release = helm.stored(store, given.namespace, name)
    if release is None:
        raise RefusedError("Error: release: not found")
    if verb == "manifest":
        import yaml

        _write("".join(f"---\n{yaml.safe_dump(one)}" for one in release["manifest"]))
    elif verb == "metadata":
        _write(json.dumps({"name": name, "chart": "kubocd-ctrl", "version": "v0.3.0"}))
    elif verb == "upgrade":
        values = deepcopy(release["values"])
        for flag, text in given.sets:
            path, _, value = text.partition("=")
            node = values
            for step in path.split(".")[:-1]:
                node = node.setdefault(step, {})
            node[path.split(".")[-1]] = json.loads(value) if flag == "--set-json" or value != "" else value
        helm.upgrade(store, given.namespace, release["namespace"], name, values)
    elif verb == "uninstall":
        helm.uninstall(store, given.namespace, name)
    elif verb != "status":
        raise RefusedError(f"Error: unknown command {verb}")


def run(store: Store) -> None:
    """Let all controllers work until nothing changes."""
    for _ in range(_ROUNDS):
        if not any([store.settle(), flux.settle(store)]):
            return
    raise AssertionError("the controllers don't come to rest")


def _write(text: object, end: str = "\n") -> None:
    sys.stdout.write(f"{text}{end}")


def _kinds(store: Store, words: list[str]) -> tuple[list[str], list[str]]:
    """Return the kinds and the names of `KIND NAME…`, `KIND/NAME…` or `KIND,KIND`."""
    if "/" in words[0]:
        return [_kind(store, words[0].split("/")[0])], [word.split("/")[1] for word in words]
    return [_kind(store, word) for word in words[0].split(",")], words[1:]


def _kind(store: Store, word: str) -> str:
    name = word.partition(".")[0]
    kinds = {kind.lower(): kind for kind in GROUPS} | PLURALS | _SHORT
    if name not in kinds or not store.serves(kinds[name]):
        raise RefusedError(f'error: the server doesn\'t have a resource type "{word}"')
    return kinds[name]


def _one(store: Store, given: Arguments, words: list[str]) -> Object:
    (kind,), (name,) = _kinds(store, words)
    one = store.find(kind, given.namespace, name)
    if one is None:
        raise RefusedError(f'Error from server (NotFound): {words[0]} "{name}" not found')
    return one


def _at(path: str, one: Any) -> Iterator[Any]:
    """Yield the value at a JSONPath such as `{.status.history[0].chartName}`."""
    for step in path.strip("{}").strip(".").replace("[", ".").replace("]", "").split("."):
        if isinstance(one, list) and step.isdigit() and int(step) < len(one):
            one = one[int(step)]
        elif isinstance(one, dict) and step in one:
            one = one[step]
        else:
            return
    yield one


def _print_path(path: str, one: Object) -> None:
    if path.startswith("{range .items[*]}"):
        for item in one["items"]:
            _write(item["metadata"]["namespace"], end=" ")
        return
    for value in _at(path, one):
        _write(value, end="")


def _merge(live: Object, body: Object) -> None:
    for key, value in body.items():
        if value is None:
            live.pop(key, None)
        elif isinstance(value, dict) and isinstance(live.get(key), dict):
            _merge(live[key], value)
        else:
            live[key] = deepcopy(value)


def main() -> int:
    store = Store(Path(os.environ["STAND_IN_STATE"]))
    program, *words = sys.argv[1:]
    code = 0
    run(store)
    try:
        {"kubectl": kubectl, "helm": helm_program}[program](store, Arguments(words))
    except RefusedError as error:
        sys.stderr.write(f"{error}\n")
        code = 1
    run(store)
    store.save()
    return code


if __name__ == "__main__":
    raise SystemExit(main())

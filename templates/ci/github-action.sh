#!/usr/bin/env bash
# The steps of action.yml: `github-action.sh install|build|comment`. What they are given comes in variables, and nothing
# of it is ever read as shell.
set -euo pipefail

home=$RUNNER_TEMP/kcd-gen
venv=$home/venv

# What is printed between the two marks is text: a file's name may look like a command to the runner.
as_text() {
  local token status=0
  token=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
  printf '::stop-commands::%s\n' "$token"
  "$@" || status=$?
  printf '\n::%s::\n' "$token"
  return "$status"
}

install() {
  if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "::error title=kcd-gen::Python 3.11 or newer is needed: put actions/setup-python before this action"
    exit 1
  fi
  local what=$GITHUB_ACTION_PATH
  [ -z "$VERSION" ] || what=kcd-gen==$VERSION
  "$PYTHON" -m venv --clear "$venv"
  as_text "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$what"
  # Later steps of the job find kcd-gen, but go on with their own python.
  mkdir -p "$home/bin"
  ln -sf "$venv/bin/kcd-gen" "$home/bin/kcd-gen"
  echo "$home/bin" >>"$GITHUB_PATH"
  "$venv/bin/kcd-gen" --version
}

build() {
  local words=(build --format github) further status=0 said
  [ "$CHECK" != true ] || words+=(--check)
  [ -z "$SARIF" ] || words+=("--report=sarif=$SARIF")
  read -r -d '' -a further <<<"$ARGS" || true
  "$venv/bin/kcd-gen" "${words[@]}" ${further[@]+"${further[@]}"} || status=$?
  echo "exit-code=$status" >>"$GITHUB_OUTPUT"
  case $status in
    0) [ "$CHECK" = true ] && said='the output is what the sources compile to' || said='the output was built' ;;
    3) said='**the output is not what the sources compile to**; build, and commit the result' ;;
    1) said='**there are errors** in the sources or packages' ;;
    4) said='**the network failed**, or a registry' ;;
    *) said="**it failed** with exit code $status; the log says why" ;;
  esac
  printf 'kcd-gen: %s.\n\n' "$said" >>"$GITHUB_STEP_SUMMARY"
  return "$status"
}

# The commit that the pull request is compared with. GitHub checks out the merge of both sides, so that what it changes
# is what differs from the first parent; a shallow clone knows that parent's name only.
base_commit() {
  local parents
  read -r -d '' -a parents < <(git cat-file commit HEAD | sed -n -e '/^$/q' -e 's/^parent //p') || true
  local base=$BASE_SHA
  if [ "${#parents[@]}" -eq 2 ] && [ "${parents[1]}" = "$HEAD_SHA" ]; then
    base=${parents[0]}
  fi
  git cat-file -e "$base^{commit}" 2>/dev/null || git fetch --quiet --no-tags --depth=1 origin "$base" >&2 || return 1
  git merge-base "$base" HEAD 2>/dev/null || echo "$base"
}

diff() {
  "$venv/bin/kcd-gen" diff --ref "$1" --format markdown >"$2"
}

comment() {
  local base file=$home/diff.md
  rm -f "$file"
  if ! base=$(base_commit); then
    echo "::warning title=kcd-gen::what the change does can't be told: the commit before it can't be fetched"
  elif ! as_text diff "$base" "$file"; then
    echo "::warning title=kcd-gen::what the change does can't be told: one side of it does not compile"
    rm -f "$file"
  else
    cat "$file" >>"$GITHUB_STEP_SUMMARY"
  fi
  [ "$COMMENT" != true ] || "$venv/bin/python" -m kubocd_gen.ci_comments github "$file"
}

"$1"

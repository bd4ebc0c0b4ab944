#!/usr/bin/env bash
# The steps of action.yml: `github-action.sh install|build|diff|comment`. Their inputs are environment variables, which are
# never interpreted by the shell.
#
# The files of a pull request are not trusted and must not be executed: no program (PATH), no Python module (console
# scripts and `python -I` do not import from the working directory), no configuration of pip (which runs in its own
# directory). Only kcd-gen calls Git. Only the step `comment` has the token, and it runs in another directory.
set -euo pipefail
unset CDPATH PYTHONHOME PYTHONPATH PYTHONPYCACHEPREFIX PYTHONUSERBASE

home=$RUNNER_TEMP/kcd-gen
venv=$home/venv

# Remove relative entries and those in the checkout from PATH. Before this, only shell builtins are used.
safe_path() {
  local checkout entries entry safe=
  checkout=$(cd -P -- "${GITHUB_WORKSPACE:-.}" && pwd)
  IFS=: read -r -a entries <<<"$PATH"
  for entry in "${entries[@]}"; do
    case $entry in /*) entry=$(cd -P -- "$entry" 2>/dev/null && pwd) || continue ;; *) continue ;; esac
    case $entry/ in "$checkout"/*) ;; *) safe=$safe:$entry ;; esac
  done
  PATH=${safe#:}
  : "${PATH:=/usr/bin:/bin}"  # an empty PATH means the working directory
}

# Run a command without workflow commands in its output. A file name or a response of a server could contain one.
as_text() {
  local token status=0
  token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
  printf '::stop-commands::%s\n' "$token"
  "$@" 2>&1 || status=$?  # the runner does not keep the order of two streams
  printf '\n::%s::\n' "$token"
  return "$status"
}

# Run a command, and print its standard error without workflow commands.
errors_as_text() {
  local status=0
  "$@" 2>"$home/errors" || status=$?
  [ ! -s "$home/errors" ] || as_text cat "$home/errors"
  return "$status"
}

to_file() {
  local file=$1
  shift
  "$@" >"$file"
}

# Print the arguments of pip install, one per line. kcd-gen is not in a public index, so the files of the action are
# installed, or a pinned source that the workflow names. A requirements file in the checkout is refused because the pull
# request could modify it.
what_to_install() {
  local forms parent=
  if [ -z "$INSTALL_FROM" ] && [ -f "$GITHUB_ACTION_PATH/pyproject.toml" ]; then
    printf '%s\n' "$GITHUB_ACTION_PATH"
    return
  fi
  forms='git[+](https|ssh)://[^ ]+@[0-9a-f]{40}|https://[^ ]+[.]whl#sha256=[0-9a-f]{64}'
  forms="$forms|--index-url https://[^ ]+ kcd-gen==[^ ]+|--require-hashes -r /[^ ]+"
  if ! printf '%s\n' "$INSTALL_FROM" | grep -Eqx "$forms"; then
    printf '::error title=kcd-gen::set the input install-from to one of these arguments of pip install: %s, %s, %s, %s\n' \
      'git+https://HOST/PATH@COMMIT (40 digits)' 'https://HOST/NAME.whl#sha256=DIGEST' \
      '--index-url URL kcd-gen==VERSION' '--require-hashes -r /DIR/FILE' >&2
    return 2
  fi
  case $INSTALL_FROM in --require-hashes*) parent=$(cd -P -- "$(dirname -- "${INSTALL_FROM##* }")" && pwd) ;; esac
  case $parent/ in
    "$(cd -P -- "${GITHUB_WORKSPACE:-.}" && pwd)"/*)
      echo '::error title=kcd-gen::the input install-from names a requirements file in the checkout' >&2
      return 2 ;;
  esac
  printf '%s\n' "${INSTALL_FROM// /$'\n'}"
}

install() {
  local interpreter words what=()
  interpreter=$(command -v -- "$PYTHON" || true)
  [[ $interpreter == /* ]] || interpreter=$PWD/$interpreter
  words=$(what_to_install)
  IFS=$'\n' read -r -d '' -a what <<<"$words" || true
  (
    cd "$home"
    if ! "$interpreter" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "::error title=kcd-gen::Python 3.11 or newer is required; run actions/setup-python before this action"
      exit 1
    fi
    "$interpreter" -I -m venv --clear "$venv"
    as_text "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-input "${what[@]}"
  )
  # Later steps of the job find kcd-gen, and keep their own python.
  mkdir -p "$home/bin"
  ln -sf "$venv/bin/kcd-gen" "$home/bin/kcd-gen"
  echo "$home/bin" >>"$GITHUB_PATH"
  "$venv/bin/kcd-gen" --version
}

build() {
  local words=(build) further status=0 result
  read -r -d '' -a further <<<"$ARGS" || true
  words+=(${further[@]+"${further[@]}"} --format github)
  [ "$CHECK" != true ] || words+=(--check)
  [ -z "$SARIF" ] || words+=("--report=sarif=$SARIF")
  errors_as_text "$venv/bin/kcd-gen" "${words[@]}" || status=$?
  echo "exit-code=$status" >>"$GITHUB_OUTPUT"
  case $status in
    0) [ "$CHECK" = true ] && result='the output is up to date' || result='the output was built' ;;
    3) result='**the output is out of date**; run kcd-gen build and commit the result' ;;
    1) result='**the sources or packages have errors**' ;;
    4) result='**the network or a registry failed**' ;;
    *) result="**kcd-gen build failed** with exit code $status; see the log" ;;
  esac
  printf 'kcd-gen: %s.\n\n' "$result" >>"$GITHUB_STEP_SUMMARY"
  return "$status"
}

diff() {
  local base file=$home/diff.md
  rm -f "$file"
  if ! errors_as_text to_file "$home/base" "$venv/bin/kcd-gen-ci" base github; then
    echo "::warning title=kcd-gen::cannot compare the change: its base commit cannot be read or fetched"
    return
  fi
  base=$(cat "$home/base")
  if ! errors_as_text to_file "$file" "$venv/bin/kcd-gen" diff --ref "$base" --format markdown; then
    echo "::warning title=kcd-gen::cannot compare the change: one of its two sides does not compile"
    rm -f "$file"
    return
  fi
  cat "$file" >>"$GITHUB_STEP_SUMMARY"
}

comment() {
  [ "$COMMENT" = true ] || return 0
  cd "$home"
  errors_as_text "$venv/bin/kcd-gen-ci" comment github "$home/diff.md"
}

safe_path
mkdir -p "$home"
"$1"

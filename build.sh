#!/usr/bin/env bash
# Makes a fresh machine ready, then hands over to build.fsx:  ./build.sh TARGET [arguments]
# What can be asked of F# lives there. Here is only what has to happen before F# can run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target="${1:-Build}"
wanted="$(tr '[:upper:]' '[:lower:]' <<<"$target")"

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_WORKLOAD_INTEGRITY_CHECK=1
# Build servers outlive the command, and on a small machine their memory is missed by the tests.
export DOTNET_CLI_USE_MSBUILD_SERVER=0 MSBUILDDISABLENODEREUSE=1

say() { printf '%s\n' "$*" >&2; }
fail() { say "build.sh: $*"; exit 2; }

# --- The SDK ---------------------------------------------------------------------------------------------------------

command -v dotnet >/dev/null || fail "no dotnet on PATH. Install the .NET SDK 10 and try again."
[[ "$(dotnet --version)" == 10.* ]] || fail "needs the .NET SDK 10, found $(dotnet --version)."

# A word that is no target gets the list of targets, and nothing is installed for it.
# (grep and sed are not everywhere that bash and coreutils are.)
is_target() {
  local line
  while IFS= read -r line; do
    line="${line#"${line%%[! ]*}"}"
    line="${line#[}"
    [[ "$(tr '[:upper:]' '[:lower:]' <<<"${line# }")" != "\"$wanted\","* ]] || return 0
  done <build.fsx
  return 1
}

if [[ "$wanted" == clean ]] || ! is_target; then
  exec dotnet fsi --quiet build.fsx "$@"
fi

# --- System packages -------------------------------------------------------------------------------------------------

# Two engines can be under Fokker (docs/engines.md). The compiled one needs a compiler and a libtorch with headers, from the system; the managed one comes
# with the NuGet packages. FOKKER_ENGINE says which; where it does not, what is installed, or can be, decides.
missing=()
installed() { [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" == installed ]]; }
needs() { installed "$1" || missing+=("$1"); }
needs_command() { command -v "$1" >/dev/null || missing+=("$2"); }
can_install() { command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; }

if [[ "${FOKKER_ENGINE:-}" != managed ]]; then
  needs_command cmake cmake
  needs_command make make
  needs_command c++ g++
  if [[ -z "${Torch_DIR:-}" ]]; then
    needs libtorch-dev
    # libtorch runs on whichever BLAS is installed, and the reference one is some eighty times slower.
    needs libopenblas0-openmp
  fi
  if ((${#missing[@]})) && ! can_install; then
    [[ -z "${Torch_DIR:-}" && -z "${FOKKER_ENGINE:-}" ]] ||
      fail "missing: ${missing[*]} (Debian's names). Install them, or set FOKKER_ENGINE=managed, and try again."
    say "The managed engine is taken: the compiled one would need ${missing[*]} (Debian's names), which cannot be installed from here."
    export FOKKER_ENGINE=managed
    missing=()
  fi
fi

needs_command npm npm
case "$wanted" in
  demo) needs dataset-fashion-mnist ;;
  test | testall)
    needs dataset-fashion-mnist
    needs fonts-dejavu-core
    needs_command chromium chromium
    needs_command mpirun openmpi-bin
    ;;
  bench)
    needs_command mpirun openmpi-bin
    needs python3-torch
    needs python3-scipy
    ;;
esac

if ((${#missing[@]})); then
  if can_install; then
    install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    say "Installing from Debian: ${missing[*]}"
    mkdir -p artifacts
    log=artifacts/apt.log
    "${as_root[@]}" apt-get update -qq >"$log" 2>&1 </dev/null &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >>"$log" 2>&1 </dev/null || {
      tail -n 20 "$log" >&2
      fail "apt-get failed; all it said is in $log."
    }
  else
    say "Without ${missing[*]} (Debian's names), which cannot be installed from here: what needs them is skipped."
  fi
fi

# --- Tools and packages ----------------------------------------------------------------------------------------------

packages="${NUGET_PACKAGES:-$HOME/.nuget/packages}"
stamp=artifacts/setup.stamp
inputs=(paket.dependencies package.json package-lock.json .config/dotnet-tools.json)
key="$(cat "${inputs[@]}" | sha256sum | cut -d' ' -f1)"
command -v npm >/dev/null || key="$key without npm"

ready() {
  [[ "$(cat "$stamp" 2>/dev/null)" == "$key" ]] &&
    [[ -f .paket/Paket.Restore.targets && -f paket.lock && -d "$packages/paket" ]] &&
    [[ -d node_modules || "$key" == *"without npm" ]]
}

# Paket expands NUGET_FEED in paket.dependencies: packages come from wherever this machine's NuGet gets them.
if [[ -z "${NUGET_FEED:-}" ]]; then
  while read -r enabled address; do
    [[ "$enabled" != E || "$address" != https:* ]] || { NUGET_FEED="$address" && break; }
  done < <(dotnet nuget list source --format Short)
  [[ -n "${NUGET_FEED:-}" ]] || fail "no enabled https source in 'dotnet nuget list source'; add one or set NUGET_FEED."
  export NUGET_FEED
fi

# Some feeds answer with versions but no dependencies, and Paket then learns a package's dependencies only once it has
# the package. So resolve until nothing new turns up; dependencies.txt, fetched first, makes that one or two rounds.
resolve() {
  local before after line name version
  if [[ -s dependencies.txt ]]; then
    {
      printf 'STORAGE: NONE\nSTRATEGY: MIN\nLOWEST_MATCHING: TRUE\nRESTRICTION: == net10.0\nNUGET\n  remote: %s\n' "$NUGET_FEED"
      while read -r name version; do printf '    %s (%s)\n' "$name" "$version"; done <dependencies.txt
    } >paket.lock
    dotnet paket restore >artifacts/paket.log 2>&1 || say "Not everything in dependencies.txt could be fetched; resolving anew."
  fi
  rm -f paket.lock
  before=
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    dotnet paket update --no-install >artifacts/paket.log 2>&1 && dotnet paket restore >>artifacts/paket.log 2>&1 || {
      tail -n 20 artifacts/paket.log >&2
      fail "Paket could not restore the packages; all it said is in artifacts/paket.log."
    }
    after=
    while IFS= read -r line; do [[ "$line" != "    "[!\ ]* ]] || after+="$line"$'\n'; done <paket.lock
    [[ "$after" != "$before" ]] || return 0
    before="$after"
  done
  fail "Paket's graph does not settle; see artifacts/paket.log."
}

if ! ready || [[ "$wanted" == setup || "$wanted" == updatedependencies ]]; then
  mkdir -p artifacts
  exec 9>artifacts/setup.lock
  # Two builds that start together on a fresh checkout would write the same files.
  ! command -v flock >/dev/null || flock 9
  if ! ready || [[ "$wanted" == updatedependencies ]]; then
    say "Restoring the tools (Paket, Fantomas, CSharpier)"
    dotnet tool restore >artifacts/tools.log 2>&1 || { cat artifacts/tools.log >&2; fail "'dotnet tool restore' failed."; }
    say "Restoring the .NET packages"
    resolve
    if command -v npm >/dev/null; then
      say "Restoring the npm packages"
      npm ci --silent --ignore-scripts </dev/null >artifacts/npm.log 2>&1 || { cat artifacts/npm.log >&2; fail "'npm ci' failed."; }
    else
      say "Without npm: reports are made without their charts, MNIST is not there, and the guide is not built."
    fi
    echo "$key" >"$stamp"
  fi
  exec 9>&-
fi

exec dotnet fsi --quiet build.fsx "$@"

#!/usr/bin/env bash
# Runs the compose cluster from an image with the programs built here: three nodes, a record, a killed
# node, another record, offline verification.
#
# AIMSLOG_BIN      folder of the programs `aimslog` and `aimslogd` [built by this script where unset]
# AIMSLOG_BASE     base image [the host's release: the one that is there, pulled, or made by debootstrap]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/aimslog"

say() { echo "docker test: $*"; }

if ! docker info >/dev/null 2>&1; then
  say '********************************************************************'
  say 'NO DOCKER ENGINE ON THIS MACHINE. The compose cluster was NOT tested.'
  say '********************************************************************'
  exit 0
fi
"$top/.ci/setup" docker

# Both generations must be able to read the file; the newer one that is here runs it.
compose_program=()
for program in 'docker compose' docker-compose; do
  read -ra words <<<"$program"
  "${words[@]}" version >/dev/null 2>&1 || continue
  "${words[@]}" -f "$here/compose.yaml" config -q
  [ "${#compose_program[@]}" -gt 0 ] || compose_program=("${words[@]}")
  say "$("${words[@]}" version 2>/dev/null | head -n 1): reads compose.yaml"
done

# The programs.
if [ -z "${AIMSLOG_BIN:-}" ]; then
  "$top/.ci/build" --workspace --bin aimslog --bin aimslogd
  AIMSLOG_BIN="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/aimslog/target}/debug"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/aimslog-docker.XXXXXX")
project="aimslogtest$$"
export AIMSLOG_IMAGE="aimslog-test:$$"
base_made="aimslog-test-base:$$"
# Ports that are free, chosen by the engine.
export AIMSLOG_PUBLISH_1=127.0.0.1: AIMSLOG_PUBLISH_2=127.0.0.1: AIMSLOG_PUBLISH_3=127.0.0.1:
compose() { "${compose_program[@]}" -f "$here/compose.yaml" -p "$project" "$@"; }

cleanup() {
  local status=$?
  if [ "$status" -ne 0 ]; then
    say "FAILED (exit $status); the last lines of every container:"
    compose ps || true
    compose logs --no-color --tail 20 || true
  fi
  # The profile, or compose v2 leaves the volume that `cli` alone uses.
  compose --profile cli down -v --remove-orphans >/dev/null 2>&1 || true
  docker image rm "$AIMSLOG_IMAGE" >/dev/null 2>&1 || true
  docker image rm "$base_made" >/dev/null 2>&1 || true
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT

# A minimal system of this release, kept in the user's cache: made once a machine.
make_base() {
  local tarball=$1 mirror
  [ -e "$tarball" ] && return
  say "making a base image by debootstrap (about two minutes, once): $tarball"
  [ "$(id -u)" -eq 0 ] || { say 'debootstrap needs root' >&2; exit 1; }
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
  debootstrap --variant=minbase "$VERSION_CODENAME" "$work/root" "$mirror" >"$work/debootstrap.log" 2>&1 \
    || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
  mkdir -p "$cache"
  tar -C "$work/root" --one-file-system -cz . >"$tarball.$$"
  mv "$tarball.$$" "$tarball"
  rm -rf "$work/root"
}

# The base needs the C library that the programs were linked with, so it is the host's release.
# shellcheck disable=SC1091
. /etc/os-release
base="${AIMSLOG_BASE:-}"
if [ -z "$base" ]; then
  case "$ID" in
    debian) wanted="debian:$VERSION_CODENAME-slim" ;;
    ubuntu) wanted="ubuntu:$VERSION_CODENAME" ;;
    *) say "no base image is known for $ID; name one in AIMSLOG_BASE" >&2; exit 1 ;;
  esac
  tarball="$cache/base-$VERSION_CODENAME-$(uname -m).tar.gz"
  if docker image inspect "$wanted" >/dev/null 2>&1; then
    base=$wanted
  elif [ ! -e "$tarball" ] && timeout 120 docker pull -q "$wanted" >/dev/null 2>&1; then
    base=$wanted
  else
    make_base "$tarball"
    docker import "$tarball" "$base_made" >/dev/null
    base=$base_made
  fi
fi
say "base image $base"

mkdir "$work/context"
install -s "$AIMSLOG_BIN/aimslog" "$AIMSLOG_BIN/aimslogd" "$work/context/"
docker build -q --target prebuilt --build-arg BASE="$base" -t "$AIMSLOG_IMAGE" \
  -f "$here/Dockerfile" "$work/context" >/dev/null
say "image $AIMSLOG_IMAGE: $(docker image inspect -f '{{.Size}}' "$AIMSLOG_IMAGE") bytes, user $(docker image inspect -f '{{.Config.User}}' "$AIMSLOG_IMAGE")"

compose up -d --no-build
deadline=$((SECONDS + 90))
until [ "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$(compose ps -aq found)")" = 'exited 0' ]; do
  [ "$SECONDS" -lt "$deadline" ] || { say 'the cluster is not founded after 90 s'; exit 1; }
  sleep 1
done
say 'three nodes are healthy, the cluster is founded'

# One container for all commands: what they write stays in the volume `files`.
aimslog() { compose run --rm -T cli "$@"; }
shell() { compose run --rm -T --entrypoint bash cli -c "$1"; }

aimslog key generate -o /files/admin.seed
aimslog org add acme --admin-key /files/admin.seed --operator-key /handout/operator-1/operator.seed
# An administrator lets in and submits nothing: another person's key records.
aimslog key generate -o /files/submitter.seed
aimslog --org acme --key /files/admin.seed principal add submitter-1 \
  --principal-key /files/submitter.seed --holder holder-2 --role submitter
submit() {
  local number=$1
  sed "s/NUMBER/$number/g" "$here/record.json" | shell "cat > /files/record-$number.json"
  aimslog --org acme --key /files/submitter.seed submit "/files/record-$number.json" \
    --wait receipt --evidence-dir "/files/evidence-$number"
}
shell 'mkdir -p /files/evidence-1 /files/evidence-2'
submit 1
say 'record 1 is in the log'

# The table has one line for each node that answers: address, node, role, term, applied, tree size ...
victim=$(aimslog cluster status | awk '$3 == "leader" { print $2; exit }')
[ -n "$victim" ] || { say 'nobody leads'; exit 1; }
compose kill -s SIGKILL "node$victim"
compose rm -f "node$victim" >/dev/null 2>&1 || true
say "the leader, node $victim, is killed"
submit 2
say 'record 2 is in the log, with two of three nodes'

# Offline: no network at all, and nothing but the policy and the files.
docker run --rm --network none -v "${project}_files:/files:ro" -v "${project}_handout:/handout:ro" "$AIMSLOG_IMAGE" \
  bash -c 'set -e; files=(/files/evidence-*/*.evidence.json); [ "${#files[@]}" -eq 2 ]
           for file in "${files[@]}"; do aimslog verify "$file" --policy /handout/public/policy.txt; done'
say 'both records verify offline'

compose up -d --no-build "node$victim"
deadline=$((SECONDS + 60))
until aimslog cluster status | awk '$2 ~ /^[123]$/ { nodes++; if (!($6 in seen)) { seen[$6]; sizes++ } }
    END { exit !(nodes == 3 && sizes == 1) }'; do
  [ "$SECONDS" -lt "$deadline" ] || { say "node $victim does not catch up"; exit 1; }
  sleep 1
done
say "node $victim is back with the same tree"
say 'passed'

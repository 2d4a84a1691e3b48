#!/usr/bin/env bash
# Rolling update of a compose installation, without a refused delivery: start a new container beside
# the old ones, wait until it is healthy, and only then stop an old one, which finishes its work.
#
#   ops/roll.sh toolworker:1.4   to another image, and back with the image before; Flower's is
#                                toolworker:1.4-flower or FLOWER_IMAGE; without it Flower stays as
#                                it is
#   ops/roll.sh                  with the image that the settings name: for changed settings, secrets
#   ENV_FILE=.env                the settings; the image is written into them at the end
#
# It may be interrupted, and run again. A new container that does not become healthy is removed, and
# the rest is left as it is.
set -euo pipefail
env_file=${ENV_FILE:-.env}
touch "$env_file"
image=${1:-$(sed -n 's/^TOOLWORKER_IMAGE=//p' "$env_file")}
image=${image:-toolworker}
health_s=${HEALTH_S:-90} # a new container that is not healthy by then has failed
lookup_s=3               # nginx looks names up again when an answer is older than 2 s
export TOOLWORKER_IMAGE=$image

compose() { docker compose --env-file "$env_file" "$@"; }
say() { echo "$(date +%T) $*"; }

docker image inspect "$image" >/dev/null || { echo "there is no image $image here" >&2; exit 1; }

# the running containers of a service, sorted; none where its profile is off
containers() { { compose ps -q "$1" 2>/dev/null || true; } | sort; }

# one more container of a service; prints its id when it does its work
add() {
  local service=$1 before after new count deadline
  before=$(containers "$service")
  count=$(wc -w <<<"$before")
  compose up -d --no-deps --no-recreate --scale "$service=$((count + 1))" "$service" >&2
  after=$(containers "$service")
  new=$(comm -13 <(echo "$before") <(echo "$after"))
  deadline=$((SECONDS + health_s))
  # the container's own health check, without its interval; a worker's costs a second of a CPU,
  # which the new container needs itself at first
  sleep 2
  until docker exec "$new" toolworker healthy "$service" 2>/dev/null; do
    if ((SECONDS > deadline)) || [[ $(docker inspect --format '{{.State.Running}}' "$new") != true ]]; then
      docker logs --tail 20 "$new" >&2
      docker rm --force "$new" >/dev/null
      echo "a new $service did not become healthy; the others are left as they were" >&2
      exit 1
    fi
    sleep 2
  done
  echo "$new"
}

roll() {
  local service=$1 old new
  [[ -z $(containers "$service") ]] || compose rm --force "$service" >/dev/null # what ended
  for old in $(containers "$service"); do
    new=$(add "$service")
    # before an old receiver goes, the proxy must have found the new one
    [[ $service != webhook ]] || sleep "$lookup_s"
    docker stop "$old" >/dev/null # with the stop_grace_period of docker-compose.yml
    docker rm "$old" >/dev/null
    say "$service: ${new:0:12} in place of ${old:0:12}"
  done
}

# all containers of a service at once: SERVICE, options of `up`
replace() {
  [[ -z $(containers "$1") ]] || compose up -d --no-deps --force-recreate "${@:2}" "$1"
}

say "doctor: settings, servers and tools, as $image sees them"
# not the running service: what is wrong there may be what this change repairs
compose run --rm --no-deps doctor toolworker doctor --before-start
# receivers first: what they accept is what workers of either release take
for service in webhook reconciler worker; do
  roll "$service"
done
# Flower and the dashboard hold no work. Data actions have one socket, which an old container would
# take with it: their callers get 503 for the seconds of a start.
for service in dashboard actions; do
  replace "$service"
done
# where its image is not here, compose would build it from what is checked out
flower=${FLOWER_IMAGE:-$(sed -n 's/^FLOWER_IMAGE=//p' "$env_file")}
flower=${flower:-$image-flower}
if docker image inspect "$flower" >/dev/null 2>&1; then
  replace flower --no-build --pull never
elif [[ -n $(containers flower) ]]; then
  say "Flower was not replaced: there is no image $flower here. Build or pull it, and run this again"
fi

# so that the next `docker compose up` uses this image, too
settings=$(grep -v '^TOOLWORKER_IMAGE=' "$env_file" || true)
printf '%s\n' "$settings" "TOOLWORKER_IMAGE=$image" >"$env_file"
say "done: $image"

#!/usr/bin/env bash
# A real Kafka cluster without Docker, one broker or three, on loopback.
#   broker.sh prepare         get Java, Maven and Kafka's jars (once; into .kafka/libs of this checkout)
#   broker.sh start [N]       start all brokers, or broker N again; prints their address and writes it to $home/address
#   broker.sh stop|kill [N]   end all or one: cleanly, or as a power cut would (kill -9)
#   broker.sh status
# FOLIO_KAFKA_HOME  where its state lives (default .kafka)    FOLIO_KAFKA_BROKERS  1 or 3, when it is made (default 1)
# FOLIO_KAFKA_PORT  of broker 1 (default 9092; 0: any free); its controller's is one higher, each next broker's 100
# FOLIO_KAFKA_HEAP  of each (default 512m)   FOLIO_KAFKA_EXTRA  a file of more server properties
# FOLIO_KAFKA_FORMAT  more arguments for formatting, such as users
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
libs="$here/../../../.kafka/libs"
home=$(mkdir -p "${FOLIO_KAFKA_HOME:-.kafka}" && cd "${FOLIO_KAFKA_HOME:-.kafka}" && pwd)
heap=${FOLIO_KAFKA_HEAP:-512m}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
alive() { [ -s "$home/$1/pid" ] && kill -0 "$(cat "$home/$1/pid")" 2>/dev/null; }
port_of() { echo $(($(cat "$home/port") + 100 * ($1 - 1))); }
nodes() { seq "$(cat "$home/brokers" 2>/dev/null || echo 0)"; }
tool() { java -Xmx256m -XX:+UseSerialGC -cp "$libs/*" "$@"; }

need() {
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $2 ..." >&2
    apt-get -qq update >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$2" >/dev/null
  else
    echo "kafka needs '$1': install it first (Debian: apt-get install $2)" >&2
    exit 1
  fi
}

prepare() {
  need java openjdk-17-jre-headless
  [ -e "$libs/.complete" ] && return
  need mvn maven
  echo "getting Apache Kafka's jars (55 MB, once) ..." >&2
  mkdir -p "$libs"
  mvn -q -B --color never -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$libs" >&2
  touch "$libs/.complete"
}

free_port() { # one from which all ports that we need are free
  local port offset taken
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 12000)) taken=
    for offset in 0 1 2 3 100 101 200 201; do if listens $((port + offset)); then taken=1; fi; done
    [ -n "$taken" ] || { echo "$port"; return; }
  done
  echo "no free ports for Kafka" >&2
  exit 1
}

make_cluster() { # the files of a new home
  local count=${FOLIO_KAFKA_BROKERS:-1} port=${FOLIO_KAFKA_PORT:-9092} n at voters=
  [ "$port" != 0 ] || port=$(free_port)
  echo "$port" >"$home/port"
  echo "$count" >"$home/brokers"
  for n in $(seq "$count"); do voters+="${voters:+,}$n@127.0.0.1:$(($(port_of "$n") + 1))"; done
  tool kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1 >"$home/id"
  for n in $(seq "$count"); do
    mkdir -p "$home/$n"
    at=$(port_of "$n")
    {
      cat "$here/server.properties"
      echo "node.id=$n"
      echo "controller.quorum.voters=$voters"
      echo "listeners=PLAINTEXT://127.0.0.1:$at,CONTROLLER://127.0.0.1:$((at + 1))"
      echo "advertised.listeners=PLAINTEXT://127.0.0.1:$at"
      echo "log.dirs=$home/$n/data"
      for name in offsets.topic transaction.state.log share.coordinator.state.topic; do echo "$name.replication.factor=$count"; done
      for name in transaction.state.log share.coordinator.state.topic; do echo "$name.min.isr=$(((count + 1) / 2))"; done
      [ -z "${FOLIO_KAFKA_EXTRA:-}" ] || cat "$FOLIO_KAFKA_EXTRA"
    } >"$home/$n/server.properties"
    # shellcheck disable=SC2086  # several arguments
    tool kafka.tools.StorageTool format -t "$(cat "$home/id")" -c "$home/$n/server.properties" ${FOLIO_KAFKA_FORMAT:-} \
      >"$home/$n/format.log" 2>&1 || { cat "$home/$n/format.log" >&2; exit 1; }
  done
  for n in $(seq "$count"); do echo "127.0.0.1:$(port_of "$n")"; done | paste -sd, >"$home/address"
}

launch() {
  alive "$1" && return
  if listens "$(port_of "$1")"; then echo "something else listens on 127.0.0.1:$(port_of "$1"): stop it first" >&2; exit 1; fi
  nohup java -Xms128m "-Xmx$heap" -XX:+UseSerialGC -Dlog4j2.configurationFile="$here/log4j2.properties" \
    -cp "$libs/*" kafka.Kafka "$home/$1/server.properties" >"$home/$1/broker.log" 2>&1 </dev/null &
  echo $! >"$home/$1/pid"
}

await() {
  for _ in $(seq 300); do
    if grep -q "Kafka Server started" "$home/$1/broker.log" && listens "$(port_of "$1")"; then return; fi
    alive "$1" || break
    sleep 0.2
  done
  echo "kafka did not start; the end of $home/$1/broker.log:" >&2
  tail -n 15 "$home/$1/broker.log" >&2
  exit 1
}

start() {
  prepare
  [ -e "$home/address" ] || make_cluster
  for n in ${1:-$(nodes)}; do launch "$n"; done
  for n in ${1:-$(nodes)}; do await "$n"; done
  echo "kafka answers on $(cat "$home/address")"
}

stop() {
  local signal=$1 n
  for n in ${2:-$(nodes)}; do if alive "$n"; then kill "-$signal" "$(cat "$home/$n/pid")"; fi; done
  for n in ${2:-$(nodes)}; do
    for _ in $(seq 150); do alive "$n" || break; sleep 0.2; done
    if alive "$n"; then kill -9 "$(cat "$home/$n/pid")"; fi
    rm -f "$home/$n/pid"
  done
  echo "kafka stopped"
}

status() {
  for n in $(nodes); do
    if alive "$n" && listens "$(port_of "$n")"; then echo "broker $n answers on 127.0.0.1:$(port_of "$n")"; else echo "broker $n is not running"; fi
  done
  [ -e "$home/address" ] || { echo "kafka is not running"; exit 1; }
}

case "${1:-}" in
  prepare) prepare ;;
  start) start "${2:-}" ;;
  stop) stop TERM "${2:-}" ;;
  kill) stop KILL "${2:-}" ;;
  status) status ;;
  *) echo "usage: broker.sh prepare | start [N] | stop [N] | kill [N] | status" >&2; exit 2 ;;
esac

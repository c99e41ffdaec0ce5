#!/usr/bin/env bash
# A real Kafka broker without Docker: broker.sh start|stop|status. State lives in $FOLIO_KAFKA_HOME (default .kafka).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=$(mkdir -p "${FOLIO_KAFKA_HOME:-.kafka}" && cd "${FOLIO_KAFKA_HOME:-.kafka}" && pwd)
pid_file="$home/pid"

answers() { (exec 3<>/dev/tcp/127.0.0.1/9092) 2>/dev/null; }
alive() { [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }
java_of() { java -Xms256m -Xmx512m -XX:+UseSerialGC -cp "$home/libs/*" "$@"; }

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

start() {
  if alive && answers; then echo "kafka already answers on 127.0.0.1:9092 (process $(cat "$pid_file"))"; return; fi
  if answers; then echo "something else listens on 127.0.0.1:9092: stop it first" >&2; exit 1; fi
  need java openjdk-17-jre-headless
  need mvn maven
  if [ ! -e "$home/libs/.complete" ]; then
    echo "getting Apache Kafka's jars (55 MB, once) ..." >&2
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/libs"
    touch "$home/libs/.complete"
  fi
  { cat "$here/server.properties"; echo "log.dirs=$home/data"; } >"$home/server.properties"
  if [ ! -e "$home/data/meta.properties" ]; then
    java_of kafka.tools.StorageTool format --standalone \
      -t "$(java_of kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1)" -c "$home/server.properties" >"$home/format.log" 2>&1
  fi
  nohup java -Xms256m -Xmx512m -XX:+UseSerialGC -Dlog4j2.configurationFile="$here/log4j2.properties" \
    -cp "$home/libs/*" kafka.Kafka "$home/server.properties" >"$home/broker.log" 2>&1 &
  echo $! >"$pid_file"
  for _ in $(seq 150); do
    if answers && grep -q "Kafka Server started" "$home/broker.log"; then echo "kafka answers on 127.0.0.1:9092 (process $(cat "$pid_file"))"; return; fi
    alive || break
    sleep 0.2
  done
  echo "kafka did not start; the end of $home/broker.log:" >&2
  tail -n 15 "$home/broker.log" >&2
  exit 1
}

stop() {
  alive || { echo "kafka is not running"; return; }
  kill "$(cat "$pid_file")"
  for _ in $(seq 150); do alive || { rm -f "$pid_file"; echo "kafka stopped"; return; }; sleep 0.2; done
  kill -9 "$(cat "$pid_file")"
  rm -f "$pid_file"
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  status) if alive && answers; then echo "kafka answers on 127.0.0.1:9092"; else echo "kafka is not running"; exit 1; fi ;;
  *) echo "usage: broker.sh start|stop|status" >&2; exit 2 ;;
esac

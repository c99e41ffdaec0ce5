#!/bin/sh
# Send one page image, or announce a file, with kcat.
#   examples/producers/kcat.sh localhost:9092 report-7 scan-1.jpg 1 2       page 1 of 2
#   examples/producers/kcat.sh localhost:9092 report-7 https://files.example.org/report-7.pdf
set -eu
servers=$1 document=$2 what=$3
send() { kcat -P -b "$servers" -X acks=all -X message.max.bytes=8388608 -X topic.partitioner=murmur2_random "$@"; }
case $what in
*://*)
  printf '{"doc":"default/%s","fetch":"%s"}' "$document" "$what" | send -t "${PREFIX:-}uploads" -k "default/$document"
  ;;
*)
  page=$4 count=$5
  # A file given as an argument is one record, whatever bytes it has.
  send -t "${PREFIX:-}pages" -k "default/$document/$page" \
    -H folio-tenant=default -H "folio-doc-id=$document" -H folio-version=1 \
    -H "folio-page=$page" -H "folio-page-count=$count" \
    -H "folio-sha256=$(sha256sum "$what" | cut -d ' ' -f 1)" "$what"
  ;;
esac

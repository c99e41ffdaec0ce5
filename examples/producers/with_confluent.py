"""Send page images, or announce a file, with confluent-kafka (librdkafka) and nothing of folio's.

python examples/producers/with_confluent.py localhost:9092 report-7 scan-1.jpg scan-2.jpg
python examples/producers/with_confluent.py localhost:9092 report-7 https://files.example.org/report-7.pdf
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

TENANT = "default"
VERSION = 1  # a later version of the same document has a greater number

arguments = argparse.ArgumentParser()
arguments.add_argument("servers")
arguments.add_argument("document")
arguments.add_argument("what", nargs="+", help="pictures, or one address")
arguments.add_argument("--prefix", default="", help="of the topics, where several folios share a cluster")
given = arguments.parse_args()

failed: list[str] = []
producer = Producer(
    {
        "bootstrap.servers": given.servers,
        "acks": "all",
        "enable.idempotence": True,
        "message.max.bytes": 8 * 1024 * 1024,  # the default of 1 MB refuses a large picture
        "partitioner": "murmur2_random",  # as folio and Java hash keys; librdkafka's own default is another
        "linger.ms": 5,
    }
)


def acknowledged(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        failed.append(f"{message.key()!r}: {error}")


if "://" in given.what[0]:
    upload = {"doc": f"{TENANT}/{given.document}", "fetch": given.what[0]}
    producer.produce(f"{given.prefix}uploads", key=upload["doc"], value=json.dumps(upload), on_delivery=acknowledged)
else:
    for number, path in enumerate(given.what, start=1):
        image = Path(path).read_bytes()
        headers = {
            "folio-tenant": TENANT,
            "folio-doc-id": given.document,
            "folio-version": str(VERSION),
            "folio-page": str(number),
            "folio-page-count": str(len(given.what)),
            "folio-sha256": hashlib.sha256(image).hexdigest(),
        }
        key = f"{TENANT}/{given.document}/{number}"
        while True:
            try:
                producer.produce(
                    f"{given.prefix}pages", key=key, value=image, headers=headers, on_delivery=acknowledged
                )
                break
            except BufferError:  # its queue is full: let some of it arrive
                producer.poll(0.5)
        producer.poll(0)
producer.flush(60)
if failed or len(producer):
    sys.exit(f"not sent: {failed or len(producer)}")
print(f"{given.document}: sent")

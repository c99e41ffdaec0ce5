"""Send page images, or announce a file, with folio's own SDK.

python examples/producers/sdk.py kafka://localhost:9092 report-7 scan-1.jpg scan-2.jpg
python examples/producers/sdk.py kafka://localhost:9092 report-7 https://files.example.org/report-7.pdf
"""

import argparse
import asyncio
import sys
from pathlib import Path

from folio.client import Figures, NotSent, Producer


def told(figures: Figures) -> None:
    print(f"\r{figures.pages} pages, {figures.pages_per_s:.0f} pages/s", end="", file=sys.stderr)


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("log")
    arguments.add_argument("document")
    arguments.add_argument("what", nargs="+", help="pictures, or one address")
    arguments.add_argument("--prefix", default="", help="of the topics, where several folios share a cluster")
    given = arguments.parse_args()
    async with Producer.open(given.log, prefix=given.prefix, progress=told) as producer:
        if "://" in given.what[0]:
            at = await producer.announce(given.document, given.what[0])
            print(f"{given.document} is announced: record {at.offset} of {at.topic}, partition {at.partition}")
            print("folio fetches and reads it by itself; folio status says what became of it")
        else:
            count = await producer.send_document(given.document, (Path(one).read_bytes() for one in given.what))
            print(f"\n{count} pages of {given.document} are on the log")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except NotSent as error:
        sys.exit(str(error))

"""Publishes files to Turnlog's inbox from outside: Kafka and Avro, nothing of Turnlog's own.

python examples/publish.py --collection NAME FILE...      (pip install confluent-kafka fastavro)"""

import argparse
import io
import json
import mimetypes
import struct
import time
import urllib.request
import uuid
from pathlib import Path

import fastavro
from confluent_kafka import Producer

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--kafka", default="127.0.0.1:19092", help="bootstrap servers")
arguments.add_argument("--registry", default="http://127.0.0.1:19081/apis/ccompat/v7", help="schema registry")
arguments.add_argument("--topic", default="documents-local", help="your inbox")
arguments.add_argument("--collection", required=True)
arguments.add_argument("files", nargs="+", type=Path)
given = arguments.parse_args()
latest = f"{given.registry}/subjects/{given.topic}-turnlog.DocumentPublished/versions/latest"
found = json.load(urllib.request.urlopen(latest))  # noqa: S310 - an address that you give
schema = fastavro.parse_schema(json.loads(found["schema"]))
head = struct.pack(">bI", 0, found["id"])  # Confluent's wire format: a zero byte, the schema's id, the Avro body
settings = {"partitioner": "murmur2_random", "enable.idempotence": True, "message.max.bytes": 2 * 1024 * 1024}
producer = Producer({"bootstrap.servers": given.kafka, **settings})
missing = {file.name: f"no answer of {given.kafka}" for file in given.files}  # until the broker says that it has it
for file in given.files:
    kind = {".md": "text/markdown"}.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "text/plain"
    event = {"event_id": str(uuid.uuid4()), "occurred_at": int(time.time() * 1000), "collection_id": given.collection}
    event |= {"document_id": file.name, "content": file.read_bytes(), "media_type": kind}
    fastavro.schemaless_writer(body := io.BytesIO(), schema, event)
    said = lambda error, record: missing.update({record.key().decode(): error.str() if error else ""})  # noqa: E731
    producer.produce(given.topic, head + body.getvalue(), file.name, on_delivery=said)
producer.flush(30)
raise SystemExit("\n".join(f"{name} was not delivered: {why}" for name, why in missing.items() if why) or 0)

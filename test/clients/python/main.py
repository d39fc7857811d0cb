"""Uses the client that openapi-python-client has generated, and prints the results: main.py URL"""

import json
import sys

from floodgate import AuthenticatedClient, Client
from floodgate.api.auth import login, refresh, register
from floodgate.api.data import (
    create_record,
    create_records,
    export_records,
    get_record,
    list_records,
    patch_record,
    put_collection,
)
from floodgate.api.users import get_me
from floodgate.models import (
    CollectionInput,
    CollectionInputVisibility,
    Credentials,
    ListRecordsOrder,
    ExportRecordsOrder,
    NewUser,
    RecordData,
    RecordInput,
    RecordPatch,
    RefreshToken,
)

url = sys.argv[1]
anyone = Client(base_url=url)


def record(data):
    return RecordInput(data=RecordData.from_dict(data))


user = register.sync(
    client=anyone, body=NewUser(email="ada@example.com", password="correct-horse-battery", name="Ada")
)
first = login.sync(client=anyone, body=Credentials(email="ada@example.com", password="correct-horse-battery"))
tokens = refresh.sync(client=anyone, body=RefreshToken(refresh_token=first.refresh_token))
ada = AuthenticatedClient(base_url=url, token=tokens.access_token)

put_collection.sync("trips", client=ada, body=CollectionInput(visibility=CollectionInputVisibility.PUBLIC))
made = create_record.sync(
    "trips", client=ada, body=record({"to": "Oslo", "km": 405, "stops": ["Hamar", None, {"at": 1.5}]})
)
patch = RecordPatch(data=RecordData.from_dict({"km": 406, "stops": None}))
stale = patch_record.sync_detailed("trips", made.id, client=ada, if_match='"0-0"', body=patch)
tag = get_record.sync_detailed("trips", made.id, client=ada).headers["etag"]
patched = patch_record.sync("trips", made.id, client=ada, if_match=tag, body=patch)

lines = [record({"to": "Rome"}), record({"text": "a" * 70000}), record({"to": "Bergen"}), record({"to": "Turin"})]
bulk = create_records.sync("trips", client=ada, body=lines)

pages, listed, cursor = 0, [], None
while pages == 0 or cursor:
    more = {"cursor": cursor} if cursor else {}
    page = list_records.sync("trips", client=ada, limit=2, order=ListRecordsOrder.ASC, **more)
    listed += [item.data["to"] for item in page.items]
    cursor = page.next_cursor
    pages += 1
# This client does not support NDJSON, but returns the bytes.
exported = export_records.sync_detailed("trips", client=ada, order=ExportRecordsOrder.ASC).content

print(
    json.dumps(
        {
            "registered": user.email,
            "signedInAs": get_me.sync(client=ada).email,
            "refreshed": tokens.refresh_token != first.refresh_token,
            "created": made.data.to_dict(),
            "stale": stale.status_code,
            "patched": patched.data.to_dict(),
            "bulk": {
                "inserted": bulk.inserted,
                "failed": bulk.failed,
                "lines": [error.line for error in bulk.errors],
            },
            "pages": pages,
            "listed": listed,
            "exported": [json.loads(line)["data"]["to"] for line in exported.splitlines()],
            "refused": get_record.sync("nowhere", made.id, client=ada).type_.value,
        }
    )
)

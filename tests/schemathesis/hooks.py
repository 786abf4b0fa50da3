"""What schemathesis cannot know of the API from its document: who may ask, what exists, and how audio sounds.

The file that STARLING_CONTRACT names holds tokens, the ids of what the test has put there, and the path of a recording.
Each request gets the token that its operation takes by the document; a subscriber's is for the mailbox in the path.
What makes sense but exists nowhere is led, most of the time, to what exists. What would destroy that, or change how it
behaves, is led to a mailbox that is made anew each time.
"""

import atexit
import json
import os
import random
import re
from urllib.parse import unquote

import requests
import schemathesis
from hypothesis import strategies as st

with open(os.environ["STARLING_CONTRACT"], encoding="utf-8") as file:
    KNOWN = json.load(file)
with open(KNOWN["recording"], "rb") as file:
    RECORDING = file.read()
MAILBOX, SPARE, MISSING = KNOWN["mailbox"], KNOWN["spare"], KNOWN["missing"]
TOKENS = KNOWN["tokens"]

# Requests come one after another, so the same choices are made every time.
choices = random.Random(20260131)

# === What is sent ===

schemathesis.openapi.media_type(
    "audio/*",
    st.one_of(
        st.just(RECORDING),
        st.binary(max_size=64),
        st.binary(max_size=64).map(lambda noise: RECORDING[:44] + noise),
        st.integers(0, 200).map(lambda length: RECORDING[:length]),
    ),
    aliases=["application/octet-stream"],
)


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Sends text as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


def some_lines():
    """Mailboxes to provision, and lines that are none."""
    settings = {
        "mailbox": choices.choice([SPARE, "bulk-1", "bulk-2", "Not One", 7]),
        "language": choices.choice(["en", "de-at", "?"]),
        "quota_messages": choices.choice([0, 1, 1000, 2000]),
    }
    members = choices.sample(sorted(settings), choices.randint(1, 3))
    line = json.dumps({name: settings[name] for name in members})
    return "\n".join([line, choices.choice(["", "{", "[]", '{"mailbox": "bulk-3"}'])])


def dress(case):
    """Puts recordings and lines where the document can only say that there are some."""
    if not choices.randrange(4):
        return
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        if "audio" in case.body:
            case.body["audio"] = RECORDING
        if "to" in case.body:
            case.body["to"] = f"{MAILBOX}, {MISSING}"
    elif case.media_type == "application/x-ndjson" and isinstance(case.body, str):
        case.body = some_lines()


# === What it is sent to ===


def lead(case):
    """Leads a request that makes sense to what exists."""
    path = case.path_parameters
    mailbox, message = path.get("mailbox"), path.get("message")
    if isinstance(mailbox, str):
        # It may be escaped already.
        mailbox = path["mailbox"] = unquote(mailbox)
    if (
        mailbox not in (MAILBOX, SPARE, MISSING)
        and isinstance(mailbox, str)
        and re.fullmatch(r"\+[1-9][0-9]{1,14}|[a-z0-9_-]{1,64}", mailbox)
    ):
        path["mailbox"] = choices.choice([MAILBOX, MAILBOX, MAILBOX, MISSING])
    if (
        message not in KNOWN["messages"]
        and isinstance(message, str)
        and re.fullmatch("[0-9a-f]{32}", message)
        and choices.randrange(8)
    ):
        path["message"] = choices.choice(KNOWN["messages"])
    if case.operation.path.endswith("/comment") and path.get("message") in KNOWN["messages"]:
        # The last one has been forwarded with a comment.
        path["message"] = KNOWN["messages"][-1]
    if case.operation.path.endswith("{kind}") and choices.randrange(4):
        # Only a temporary greeting expires, and that in the future.
        case.query.pop("expires_at", None)
    settings = case.method == "PUT" and case.operation.path.endswith("{mailbox}")
    if path.get("mailbox") == MAILBOX and (case.method == "DELETE" or settings):
        path["mailbox"] = SPARE
        furnish(path)


def furnish(path):
    """Makes the spare mailbox anew, with what the request is about."""

    def send(method, path, scope, **what):
        headers = {"Authorization": f"Bearer {scope}"}
        url = f"{KNOWN['base']}/v1/mailboxes/{SPARE}{path}"
        return requests.request(method, url, headers=headers, timeout=10, **what)

    send("DELETE", "", TOKENS["provision"])
    send("PUT", "", TOKENS["provision"])
    if "kind" in path:
        send("PUT", f"/greetings/{path['kind']}", TOKENS["provision"], data=RECORDING)
    if path.get("message") in KNOWN["messages"]:
        left = send("POST", "/messages", TOKENS["deposit"], data=RECORDING)
        path["message"] = left.json()["id"]


# === Who asks ===


def authorize(case):
    """Gives a request the token that its operation takes."""
    security = case.operation.definition.raw.get("security", [])
    scopes = [scope for needed in security for scope in needed["bearer"]]
    if scopes:
        subscribers = TOKENS["subscribers"]
        mailbox = case.path_parameters.get("mailbox")
        subscriber = subscribers.get(mailbox, subscribers[MAILBOX])
        token = subscriber if scopes[-1] == "subscriber" else TOKENS[scopes[-1]]
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a request one that can succeed."""
    lead(case)
    dress(case)
    authorize(case)


# === What was answered ===

answers = {}


@schemathesis.hook
def after_call(context, case, response):
    """Counts the statuses of each operation, for the test to see that it was not refused everywhere."""
    statuses = answers.setdefault(f"{case.method} {case.operation.path}", {})
    statuses[response.status_code] = statuses.get(response.status_code, 0) + 1


@atexit.register
def tell():
    """Writes down what was answered."""
    with open(KNOWN["answers"], "w", encoding="utf-8") as file:
        json.dump(answers, file, indent=1, sort_keys=True)

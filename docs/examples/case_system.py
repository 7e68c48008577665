#!/usr/bin/env python3
"""A ministry's case system at its own Wayhome node: a worked client of the operator API.

It does what a case system needs, one command each: take an account, sign in, bring records in, search
and read what the members answer, ask to be told, look at what others ask and decide. README.md beside
it says how to set it up. Copy from it what you need.
"""

import argparse
import base64
import getpass
import hashlib
import hmac
import json
import os
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, os.environ.get("WAYHOME_STUBS", str(Path(__file__).parent / "stubs")))

import grpc

import refusal_pb2
from wayhome.operator.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    disclosure_pb2,
    disclosure_pb2_grpc,
    records_pb2,
    records_pb2_grpc,
    requests_pb2,
    requests_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)

# A part of an import has this many records at most.
RECORDS_AT_ONCE = 500

# No answer of the node is larger.
LARGEST_MESSAGE = 64 << 20


class Refused(Exception):
    """The node refused a call: `code` is stable and for programs, the text is for people."""

    def __init__(self, error):
        self.code = error.code().name
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for detail in refusal_pb2.Outcome.FromString(value).details:
                    if detail.type_url.endswith("google.rpc.ErrorInfo"):
                        self.code = refusal_pb2.Reason.FromString(detail.value).reason
        super().__init__(f"{error.details()} ({self.code})")


def connect(where):
    """A channel to the node: over its socket on this machine, or over the network."""
    options = [("grpc.max_receive_message_length", LARGEST_MESSAGE)]
    if where.node is None:
        return grpc.insecure_channel(f"unix:{where.socket}", options)
    files = (where.ca, where.key, where.certificate)
    if None in files:
        sys.exit("error: --node takes --ca, --certificate and --key as well")
    return grpc.secure_channel(
        where.node, grpc.ssl_channel_credentials(*(Path(file).read_bytes() for file in files)), options
    )


def authenticator(secret, now):
    """The six digits that an authenticator shows (RFC 6238), for a system that keeps the secret."""
    key = base64.b32decode(secret.strip().upper() + "=" * (-len(secret.strip()) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(now) // 30), hashlib.sha1)
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


class Node:
    """The node, as one person."""

    def __init__(self, where):
        self.channel = connect(where)
        self.session = Path(where.session)

    def service(self, of, name):
        """The stub of a service."""
        return getattr(of, f"{name}Stub")(self.channel)

    def as_person(self):
        """What every call carries once somebody has signed in."""
        if not self.session.exists():
            return []
        return [("authorization", f"Bearer {self.session.read_text().strip()}")]

    def keep(self, token):
        """Keeps a session for the commands that follow, for this user alone."""
        descriptor = os.open(self.session, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)


def claim(node, args):
    """Takes an account with its one-time code, and says what the authenticator needs."""
    accounts = node.service(accounts_pb2_grpc, "AccountService")
    claimed = accounts.ClaimAccount(
        accounts_pb2.ClaimAccountRequest(name=args.name, code=args.code, password=password(args))
    )
    return {"secret": claimed.secret, "otpauth": claimed.otpauth}


def sign_in(node, args):
    """Signs in, and keeps the session."""
    if args.secret_file:
        code = authenticator(Path(args.secret_file).read_text(), time.time())
    else:
        code = args.code or getpass.getpass("Code that the authenticator shows: ")
    accounts = node.service(accounts_pb2_grpc, "AccountService")
    signed_in = accounts.SignIn(
        accounts_pb2.SignInRequest(name=args.name, password=password(args), code=code)
    )
    node.keep(signed_in.token)
    return {"roles": list(signed_in.roles), "ends_at": signed_in.ends_at}


def password(args):
    """The password, from a file of this user's or typed: never from the command line, which others see."""
    if args.password_file:
        return Path(args.password_file).read_text().rstrip("\n")
    return getpass.getpass("Password: ")


def bring_in(node, args):
    """Brings records in from JSON Lines, in the canonical columns, and makes them findable."""
    records = node.service(records_pb2_grpc, "RecordService")
    with open(args.file, encoding="utf-8") as file:
        rows = [records_pb2.Record(fields=json.loads(line)) for line in file if line.strip()]
    parts = (
        records_pb2.ImportRecordsRequest(records=rows[start:start + RECORDS_AT_ONCE])
        for start in range(0, len(rows), RECORDS_AT_ONCE)
    )
    came_to = records.ImportRecords(parts, metadata=node.as_person())
    published = None
    for published in records.PublishRecords(
        records_pb2.PublishRecordsRequest(), metadata=node.as_person()
    ):
        pass
    return {
        "added": came_to.added,
        "changed": came_to.changed,
        "unchanged": came_to.unchanged,
        "findable": published.index_records,
    }


def search(node, args):
    """Searches for one child at every member; the answers come member by member."""
    request = search_pb2.SearchRequest(
        purpose=args.purpose, legal_basis=args.legal_basis, case_reference=args.case
    )
    if args.record:
        request.record_refs.append(args.record)
    else:
        request.subjects.add(fields=dict(pair.split("=", 1) for pair in args.describe))
    answers = []
    stream = node.service(search_pb2_grpc, "SearchService").Search(
        request, metadata=node.as_person()
    )
    for answer in stream:
        # A member that is down or refuses is one answer among others: the rest stand.
        if answer.error_code:
            answers.append({"member": answer.member, "error": answer.error_code})
            continue
        result = answer.results[0]
        answers.append(
            {
                "member": answer.member,
                "grade": result.grade,
                "leads": [lead.lead for lead in result.leads],
                "would_decide": result.more_attributes,
            }
        )
    return {"answers": answers}


def ask(node, args):
    """Asks the member behind a lead to be told fields."""
    disclosures = node.service(disclosure_pb2_grpc, "DisclosureService")
    answer = disclosures.Disclose(
        disclosure_pb2.DiscloseRequest(
            lead=args.lead,
            fields=args.fields.split(","),
            purpose=args.purpose,
            legal_basis=args.legal_basis,
            case_reference=args.case,
            justification=args.justification,
        ),
        metadata=node.as_person(),
    )
    return told(answer)


def ask_again(node, args):
    """Asks about an earlier request again: what was decided since."""
    disclosures = node.service(disclosure_pb2_grpc, "DisclosureService")
    answer = disclosures.AskAgain(
        disclosure_pb2.AskAgainRequest(request=args.request), metadata=node.as_person()
    )
    return told(answer.answer)


def told(answer):
    """What a member told, and what not."""
    return {
        "request": answer.request,
        "state": answer.state,
        "granted": dict(answer.granted),
        "waiting": list(answer.waiting),
        "withheld": list(answer.withheld),
        "retain_until": answer.retain_until,
    }


def inbox(node, _args):
    """What other members ask to be told, and has to be looked at."""
    requests = node.service(requests_pb2_grpc, "RequestService")
    listed = requests.ListRequests(
        requests_pb2.ListRequestsRequest(), metadata=node.as_person()
    )
    return {
        "requests": [
            {
                "request": request.request,
                "member": request.member,
                "purpose": request.purpose,
                "legal_basis": request.legal_basis,
                "waiting": [field.name for field in request.fields if field.state == "waiting"],
            }
            for request in listed.requests
        ]
    }


def decide(node, args):
    """Shows a request with its values, asks the person, and approves or denies exactly what was shown.

    The digest names what was on the screen: if anything has changed since, the node refuses.
    """
    requests = node.service(requests_pb2_grpc, "RequestService")
    shown = requests.ShowRequest(
        requests_pb2.ShowRequestRequest(request=args.request), metadata=node.as_person()
    )
    summary = shown.summary
    print(
        f"{summary.member} asks, for {summary.purpose} on the ground of {summary.legal_basis}:\n"
        f"  {shown.justification}\n"
        + "".join(f"  {name}: {value}\n" for name, value in sorted(shown.values.items()))
        + f"The record was found as {shown.grade}{'' if shown.certain else ', which is not certain'}.",
        file=sys.stderr,
    )
    verb = "approve" if args.approve else "deny"
    if not args.yes and input(f"Type '{verb}' to {verb}: ") != verb:
        return {"decided": False}
    decision = requests_pb2.Decision(
        request=args.request,
        digest=shown.digest,
        fields=args.fields.split(",") if args.fields else [],
    )
    if args.approve:
        decided = requests.ApproveRequest(
            requests_pb2.ApproveRequestRequest(decision=decision), metadata=node.as_person()
        )
    else:
        decided = requests.DenyRequest(
            requests_pb2.DenyRequestRequest(decision=decision), metadata=node.as_person()
        )
    return {
        "decided": True,
        "state": decided.decided.summary.state,
        "leaf_index": decided.decided.leaf_index,
    }


def command_line():
    """The commands and what they take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socket", default="operator.sock", help="the node's socket, on this machine")
    parser.add_argument("--node", metavar="HOST:PORT", help="the node over the network, instead")
    parser.add_argument("--ca", metavar="FILE", help="with --node: the authority of the node's certificate")
    parser.add_argument("--certificate", metavar="FILE", help="with --node: this system's certificate")
    parser.add_argument("--key", metavar="FILE", help="with --node: its private key")
    parser.add_argument("--session", default="session", help="where the session is kept")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, does):
        made = commands.add_parser(name, help=does.__doc__.splitlines()[0])
        made.set_defaults(does=does)
        return made

    def ground(made):
        made.add_argument("--purpose", default="family_tracing")
        made.add_argument("--legal-basis", default="vital_interest")
        made.add_argument("--case", default="", help="your case reference; no personal data")

    made = command("claim", claim)
    made.add_argument("name")
    made.add_argument("--code", required=True, help="the one-time code")
    made.add_argument("--password-file")
    made = command("sign-in", sign_in)
    made.add_argument("name")
    made.add_argument("--password-file")
    made.add_argument("--code", help="what the authenticator shows")
    made.add_argument("--secret-file", help="for a system that keeps the authenticator's secret")
    command("import", bring_in).add_argument("file", help="JSON Lines, canonical columns")
    made = command("search", search)
    made.add_argument("--record", help="the reference of an own record")
    made.add_argument("--describe", nargs="+", metavar="FIELD=VALUE", help="or a description")
    ground(made)
    made = command("ask", ask)
    made.add_argument("lead")
    made.add_argument("--fields", required=True)
    made.add_argument("--justification", required=True)
    ground(made)
    command("ask-again", ask_again).add_argument("request")
    command("inbox", inbox)
    made = command("decide", decide)
    made.add_argument("request")
    which = made.add_mutually_exclusive_group(required=True)
    which.add_argument("--approve", action="store_true")
    which.add_argument("--deny", action="store_true")
    made.add_argument("--fields", help="some of the fields; all that wait if not given")
    made.add_argument("--yes", action="store_true", help="do not ask: somebody has looked elsewhere")
    args = parser.parse_args()
    if args.does is search and bool(args.record) == bool(args.describe):
        parser.error("search takes --record or --describe")
    return args


def main():
    """Runs a command, and prints what came of it as one JSON object."""
    args = command_line()
    try:
        print(json.dumps(args.does(Node(args), args), ensure_ascii=False))
    except grpc.RpcError as error:
        print(f"error: {Refused(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A small node of a foreign making: it answers lookups, holds nobody, and keeps its log in memory.

It leaves some of the protocol out on purpose (see LEAVES_OUT in tests/integration/conformance.rs): it is
what `wayhome conformance` is tried on. Not for any other use.
"""

import hashlib
import json
import os
import sys
import time
from concurrent import futures

import grpc
from protocol import checkpoint, consistency, field, fields, fixed64, inclusion, leaf_hash, pae, public_key, root, sign, verifies

QUERY = "application/vnd.wayhome.lookup-query.v1"
ANSWER = "application/vnd.wayhome.lookup-answer.v1"
LEADS = 4
SKEW = 60


class Refused(Exception):
    def __init__(self, code, reason):
        self.code, self.reason = code, reason


BAD_SIGNATURE = Refused(grpc.StatusCode.UNAUTHENTICATED, "BAD_SIGNATURE")
MALFORMED = Refused(grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED")


def refuse(context, refused):
    """google.rpc.Status with an ErrorInfo, as gRPC carries it in a trailer."""
    info = field(1, refused.reason) + field(2, "wayhome")
    packed = field(1, "type.googleapis.com/google.rpc.ErrorInfo") + field(2, info)
    status = field(1, refused.code.value[0]) + field(2, refused.reason) + field(3, packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status),))
    context.abort(refused.code, refused.reason)


class Node:
    def __init__(self, setup):
        self.setup = setup
        self.seed, self.log_seed = bytes.fromhex(setup["signing_seed"]), bytes.fromhex(setup["log_seed"])
        self.peer_key = bytes.fromhex(setup["peer_key"])
        self.leaves, self.answered, self.used = [b"the first leaf"], {}, 0

    def hashes(self):
        return [leaf_hash(leaf) for leaf in self.leaves]

    def checkpoint(self):
        return checkpoint(self.setup["origin"], self.log_seed, self.hashes())

    def lookup(self, request):
        message = fields(fields(request).get(1, [b""])[0])
        if 1 not in message:
            raise MALFORMED
        envelope = fields(message[1][0])
        kind, payload = envelope[1][0].decode(), envelope[2][0]
        signature = fields(envelope[3][0])
        signed = pae(QUERY, payload)
        known = signature[1][0] == hashlib.sha256(self.peer_key).digest()
        if kind != QUERY or not known or not verifies(self.peer_key, signed, signature[2][0]):
            raise BAD_SIGNATURE
        digest, query = hashlib.sha256(signed).digest(), fields(payload)
        if max(query) > 6:
            raise MALFORMED
        header = fields(query[1][0])
        self.admit(header)
        items = [fields(item).get(1, [b""])[0] for item in message.get(2, [])]
        count = header.get(10, [0])[0]
        if len(items) != count or root([leaf_hash(item) for item in items]) != header[9][0]:
            raise MALFORMED
        identity = header[1][0]
        if len(identity) != 16:
            raise MALFORMED
        if identity in self.answered:
            before, answer = self.answered[identity]
            if before != digest:
                raise Refused(grpc.StatusCode.ALREADY_EXISTS, "MESSAGE_ID_REUSED")
            return answer
        if not query.get(2, [0])[0] or not query.get(3, [0])[0]:
            raise MALFORMED
        if query[5][0] != self.setup["epoch"]:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_EPOCH")
        if query[6][0].hex() != self.setup["rules"]:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_RULES")
        answer = self.answer(header, digest, count)
        self.answered[identity] = digest, answer
        return answer

    def admit(self, header):
        if header[2][0].decode() != self.setup["peer"]:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "PARTY_MISMATCH")
        if header[3][0].decode() != self.setup["member"]:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_AUDIENCE")
        issued, expires = (fields(header[n][0]).get(1, [0])[0] for n in (4, 5))
        now = time.time()
        if issued > now + SKEW:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "MESSAGE_NOT_YET_VALID")
        if expires <= now:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "MESSAGE_EXPIRED")
        if expires - issued > 600:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "LIFETIME_TOO_LONG")

    def answer(self, query, digest, count):
        self.used += count
        self.leaves.append(fixed64(1, int(time.time() * 1000)) + os.urandom(32))
        items = []
        for _ in range(count):
            leads = b"".join(field(2, field(1, os.urandom(16)) + field(2, 1)) for _ in range(LEADS))
            items.append(os.urandom(16) + field(1, 1) + leads + field(3, 1))
        now = int(time.time())
        header = field(1, query[1][0]) + field(2, self.setup["member"]) + field(3, self.setup["peer"])
        header += field(4, field(1, now)) + field(5, field(1, now + 300)) + field(6, query[6][0]) + field(7, query[7][0])
        header += field(8, digest) + field(9, root([leaf_hash(item) for item in items])) + field(10, count)
        receipt = field(1, len(self.leaves) - 1) + field(2, self.checkpoint()) + field(3, self.hashes()[-1])
        quota = field(1, "subjects_per_day") + fixed64(2, self.used) + fixed64(3, 10000)
        bare = field(1, header) + field(2, receipt) + field(3, quota) + field(5, os.urandom(16))
        room = -(len(bare) + 3) % 1024
        padding = field(4, bytes(room)) if room > 127 else field(4, bytes(room + 1024))
        payload = bare + padding
        signature = field(1, hashlib.sha256(public_key(self.seed)).digest()) + field(2, sign(self.seed, pae(ANSWER, payload)))
        message = field(1, field(1, ANSWER) + field(2, payload) + field(3, signature))
        return field(1, message + b"".join(field(2, field(1, item)) for item in items))

    def prove_inclusion(self, request):
        asked = fields(request)
        proof = inclusion(asked.get(1, [0])[0], self.hashes()[: asked[2][0]])
        return b"".join(field(1, hash) for hash in proof)

    def prove_consistency(self, request):
        asked = fields(request)
        proof = consistency(asked[1][0], self.hashes()[: asked[2][0]])
        return b"".join(field(1, hash) for hash in proof)

    def get_roster(self, request):
        with open(self.setup["roster"], "rb") as roster:
            older = fields(request).get(2, [0])[0] < self.setup["roster_version"]
            return field(2, roster.read()) if older else b""


class Calls(grpc.GenericRpcHandler):
    def __init__(self, node):
        self.calls = {
            "LookupService/Lookup": node.lookup,
            "AuditService/GetCheckpoint": lambda _: field(1, node.checkpoint()),
            "AuditService/ProveInclusion": node.prove_inclusion,
            "AuditService/ProveConsistency": node.prove_consistency,
            "RosterService/GetRoster": node.get_roster,
        }

    def service(self, details):
        call = self.calls.get(details.method.removeprefix("/wayhome.exchange.v1."))
        if call is None:
            return None

        def answer(request, context):
            try:
                return call(request)
            except Refused as refused:
                return refuse(context, refused)

        return grpc.unary_unary_rpc_method_handler(answer)


def main():
    setup = json.loads(sys.argv[1])

    def read(path):
        with open(path, "rb") as file:
            return file.read()

    credentials = grpc.ssl_server_credentials(
        [(read(setup["tls_key"]), read(setup["tls_certificate"]))], read(setup["peer_certificate"]), True
    )
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Calls(Node(setup))])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()

"""What docs/protocol.md says, written a second time and in another language, with nothing but the standard library.

`python3 protocol.py` prints test vectors (tests/vectors/protocol.json). They were not taken from the
program that they test.
"""

import base64
import hashlib
import hmac
import json

# Ed25519 as RFC 8032, section 5.1, defines it: slow and plain.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def _x_of(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("no such point")
    return P - x if x & 1 != sign else x


_BY = 4 * pow(5, P - 2, P) % P
_BX = _x_of(_BY, 0)
BASE = (_BX, _BY, 1, _BX * _BY % P)


def _add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(n, p):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = _add(total, p)
        p, n = _add(p, p), n >> 1
    return total


def _pack(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _unpack(octets):
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = _x_of(y, sign)
    return x, y, 1, x * y % P


def _number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def _secret(seed):
    octets = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(octets[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, octets[32:]


def public_key(seed):
    return _pack(_times(_secret(seed)[0], BASE))


def sign(seed, message):
    scalar, prefix = _secret(seed)
    public = _pack(_times(scalar, BASE))
    nonce = _number(prefix, message)
    commitment = _pack(_times(nonce, BASE))
    answer = (nonce + _number(commitment, public, message) * scalar) % L
    return commitment + answer.to_bytes(32, "little")


def verifies(public, message, signature):
    try:
        key, commitment = _unpack(public), _unpack(signature[:32])
    except ValueError:
        return False
    answer = int.from_bytes(signature[32:], "little")
    right = _add(commitment, _times(_number(signature[:32], public, message), key))
    return answer < L and _pack(_times(answer, BASE)) == _pack(right)


# Protocol Buffers, as far as messages of this protocol need them.


def _varint(n):
    octets = bytearray()
    while n > 127:
        octets.append(n & 127 | 128)
        n >>= 7
    return bytes(octets + bytes([n]))


def field(number, value):
    """A field: octets and text with their length, other numbers as a varint. Defaults are left out."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value) if value else b""
    return _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""


def fixed64(number, value):
    return _varint(number << 3 | 1) + value.to_bytes(8, "little")


def fields(octets):
    """The fields of a message: for each number the values in their order."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            octet = octets[at]
            at += 1
            value |= (octet & 127) << shift
            if octet < 128:
                return value
            shift += 7

    while at < len(octets):
        key = varint()
        if key & 7 == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            size = varint() if size is None else size
            value = octets[at : at + size]
            if len(value) < size:
                raise ValueError("cut off")
            at += size
        found.setdefault(key >> 3, []).append(value)
    return found


# The protocol's own constructions.


def pae(payload_type, payload):
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def leaf_hash(leaf):
    return hashlib.sha256(b"\0" + leaf).digest()


def _split(n):
    return 1 << (n - 1).bit_length() - 1


def root(hashes):
    """RFC 6962, section 2.1."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256().digest()
    k = _split(len(hashes))
    return hashlib.sha256(b"\1" + root(hashes[:k]) + root(hashes[k:])).digest()


def inclusion(index, hashes):
    """RFC 6962, section 2.1.1."""
    if len(hashes) == 1:
        return []
    k = _split(len(hashes))
    if index < k:
        return inclusion(index, hashes[:k]) + [root(hashes[k:])]
    return inclusion(index - k, hashes[k:]) + [root(hashes[:k])]


def consistency(old, hashes, whole=True):
    """RFC 6962, section 2.1.2."""
    if old == len(hashes):
        return [] if whole else [root(hashes)]
    k = _split(len(hashes))
    if old <= k:
        return consistency(old, hashes[:k], whole) + [root(hashes[k:])]
    return consistency(old - k, hashes[k:], False) + [root(hashes[:k])]


def lookup_token(coalition_token, holder, epoch):
    """HKDF-Expand with SHA-512; 16 octets need one block."""
    info = b"wayhome/lookup/v1" + epoch.to_bytes(4, "big") + holder.encode()
    return hmac.new(coalition_token, info + b"\1", hashlib.sha512).digest()[:16]


def blind(seed, index):
    info = b"wayhome/oprf/blind/v1" + index.to_bytes(4, "big")
    wide = hmac.new(seed, info + b"\1", hashlib.sha512).digest()
    return (int.from_bytes(wide, "little") % L).to_bytes(32, "little")


def note_key_id(name, public):
    """C2SP signed-note, Ed25519: the algorithm is octet 1."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def checkpoint(origin, seed, hashes):
    text = f"{origin}\n{len(hashes)}\n{base64.b64encode(root(hashes)).decode()}\n"
    signature = note_key_id(origin, public_key(seed)) + sign(seed, text.encode())
    return f"{text}\n\u2014 {origin} {base64.b64encode(signature).decode()}\n"


def vectors():
    seed, payload = bytes(range(32)), b"payload of a vector"
    kind = "application/vnd.wayhome.lookup-query.v1"
    public = public_key(seed)
    items = [bytes([n]) * 16 + b"item %d" % n for n in range(5)]
    leaves = [b"leaf %d" % n for n in range(7)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    token = bytes(range(64))
    origin = "pl.wayhome.internal/log"
    return {
        "envelope": {
            "seed": seed.hex(),
            "public_key": public.hex(),
            "key_id": hashlib.sha256(public).hexdigest(),
            "payload_type": kind,
            "payload": payload.hex(),
            "pae": pae(kind, payload).hex(),
            "digest": hashlib.sha256(pae(kind, payload)).hexdigest(),
            "signature": sign(seed, pae(kind, payload)).hex(),
        },
        "items": {
            "salted": [item.hex() for item in items],
            "roots": [root([leaf_hash(item) for item in items[:n]]).hex() for n in range(6)],
        },
        "lookup_tokens": [
            {"token": token.hex(), "holder": holder, "epoch": epoch, "lookup_token": lookup_token(token, holder, epoch).hex()}
            for holder, epoch in (("pl", 1), ("pl", 2), ("de", 1))
        ],
        "blinds": [{"seed": seed.hex(), "index": n, "blind": blind(seed, n).hex()} for n in (0, 1, 1023)],
        "log": {
            "leaves": [leaf.hex() for leaf in leaves],
            "roots": [root(hashes[:n]).hex() for n in range(8)],
            "inclusion": [hash.hex() for hash in inclusion(4, hashes)],
            "consistency": [hash.hex() for hash in consistency(3, hashes)],
            "origin": origin,
            "seed": seed.hex(),
            "checkpoint": checkpoint(origin, seed, hashes),
        },
    }


if __name__ == "__main__":
    print(json.dumps(vectors(), indent=2, ensure_ascii=False))

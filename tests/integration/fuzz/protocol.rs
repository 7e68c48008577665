//! What peers, witnesses and secretariats send: envelopes, messages, notes, tiles, rosters.

use prost::Message;
use wayhome::envelope::dsse::Envelope;
use wayhome::envelope::note::NoteSignature;
use wayhome::envelope::{KeyId, KeyName, Note, NoteKey, VerifyingKey, items};
use wayhome::exchange::lookup::ProbedSubject;
use wayhome::exchange::message::take_apart;
use wayhome::linkage::RuleTable;
use wayhome::oprf::{BlindedBatch, BlindedElement};
use wayhome::proto::exchange as pb;
use wayhome::roster::{
    Address, Bytes32, MemberId, Roster, Timestamp, TrustStore, TrustedRoot, TrustedRoster,
};
use wayhome::tlog::tile::{decode_entries, decode_hashes};
use wayhome::tlog::witness::parse_cosignatures;
use wayhome::tlog::{AddCheckpoint, Checkpoint, ProofBundle, SignedCheckpoint, Tile};

use super::engine::{Answer, Target};

/// Reads a message of one type; what was read is written and read as the same.
fn message<M: Message + Default>(input: &[u8], answer: &mut Answer) -> Option<M> {
    let read = M::decode(input);
    answer.result(&read);
    let read = read.ok()?;
    let bytes = read.encode_to_vec();
    answer.value(bytes.as_slice());
    let again = M::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("{error}"));
    assert!(again.encode_to_vec() == bytes);
    Some(read)
}

fn messages(input: &[u8], answer: &mut Answer) {
    if let Some(signed) = message::<pb::SignedMessage>(input, answer) {
        let parts = take_apart(signed);
        answer.result(&parts);
    }
    message::<pb::LookupQuery>(input, answer);
    message::<pb::LookupAnswer>(input, answer);
    message::<pb::LookupResult>(input, answer);
    message::<pb::EvaluationQuery>(input, answer);
    message::<pb::DisclosureQuery>(input, answer);
    message::<pb::DisclosureAnswer>(input, answer);
    message::<pb::AuditQuery>(input, answer);
    message::<pb::LogEntry>(input, answer);
    message::<pb::Outcome>(input, answer);
    if let Some(subject) = message::<pb::LookupSubject>(input, answer) {
        let rules = RuleTable::shipped().unwrap_or_else(|error| panic!("{error}"));
        answer.kind(ProbedSubject::from_wire(rules, &subject).err());
    }
    answer.kind(items::split_item(input).is_ok());
    let (elements, _) = input.as_chunks::<32>();
    let elements: Vec<_> = elements.iter().map(|e| BlindedElement::from(*e)).collect();
    answer.result(&BlindedBatch::parse(&elements));
}

fn envelopes(input: &[u8], answer: &mut Answer) {
    let read = Envelope::from_json(input);
    answer.result(&read);
    if let Ok(envelope) = read {
        let json = envelope.to_json();
        answer.value(json.as_bytes());
        assert!(Envelope::from_json(json.as_bytes()).is_ok_and(|again| again.to_json() == json));
    }
    let text = String::from_utf8_lossy(input);
    answer.result(&text.parse::<VerifyingKey>());
    answer.result(&text.parse::<KeyId>());
    answer.result(&VerifyingKey::from_base64(&text));
}

fn notes(input: &[u8], answer: &mut Answer) {
    let read = Note::parse(input);
    answer.result(&read);
    if let Ok(note) = read {
        // A note has one spelling.
        assert!(note.to_string().as_bytes() == input);
    }
    answer.result(&SignedCheckpoint::parse(input));
    answer.result(&ProofBundle::parse(input));
    answer.result(&AddCheckpoint::parse(input));
    answer.result(&parse_cosignatures(input));
    let text = String::from_utf8_lossy(input);
    answer.result(&Checkpoint::parse_text(&text));
    answer.result(&NoteSignature::parse_line(&text));
    answer.result(&text.parse::<NoteKey>());
    answer.result(&text.parse::<KeyName>());
}

fn tiles(input: &[u8], answer: &mut Answer) {
    let line = input.iter().position(|octet| *octet == b'\n');
    let (path, body) = input.split_at(line.unwrap_or(input.len()));
    let path = String::from_utf8_lossy(path);
    let tile = path.parse::<Tile>();
    answer.result(&tile);
    let Ok(tile) = tile else { return };
    // A tile has one path.
    assert!(tile.to_string() == path);
    let body = body.get(1..).unwrap_or_default();
    answer.result(&decode_hashes(&tile, body));
    let entries = decode_entries(&tile, body);
    answer.result(&entries);
    answer.value(entries.ok());
}

fn rosters(input: &[u8], answer: &mut Answer) {
    let text = String::from_utf8_lossy(input);
    let root = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/corpus/rosters/root.note"
    ));
    let root = TrustedRoot::pin(root).unwrap_or_else(|error| panic!("{error}"));
    answer.result(&TrustedRoster::verify(&root, input));
    answer.result(&TrustedRoot::pin(input));
    answer.result(&TrustStore::from_state(root.note().as_bytes(), input));
    let draft = Roster::from_draft(&text);
    answer.result(&draft);
    if let Ok(draft) = draft {
        answer.result(&draft.render_for_signing());
    }
    answer.result(&text.parse::<Timestamp>());
    answer.result(&text.parse::<MemberId>());
    answer.result(&text.parse::<Address>());
    answer.result(&text.parse::<Bytes32>());
}

#[test]
fn wire_messages() {
    let pieces = &["\u{a}", "\u{12}\u{10}", "\u{1a}\u{7f}", "\u{8}\u{1}"];
    Target {
        name: "messages",
        run: messages,
        pieces,
    }
    .fuzz();
}

#[test]
fn signed_envelopes() {
    let pieces = &[
        "\"payload\":\"",
        "\"signatures\":[",
        "\"keyid\":\"",
        "\"sig\":\"",
        "AA==",
        "{}",
        "]",
    ];
    Target {
        name: "envelopes",
        run: envelopes,
        pieces,
    }
    .fuzz();
}

#[test]
fn signed_notes() {
    let pieces = &[
        "\n\n",
        "\n",
        "\u{2014} ",
        "example.org/log ",
        "AAAA",
        "10\n",
        "old 0\n",
    ];
    Target {
        name: "notes",
        run: notes,
        pieces,
    }
    .fuzz();
}

#[test]
fn log_tiles() {
    let pieces = &[
        "tile/", "entries/", "x001/", "000", ".p/", "256", "\n", "\u{0}",
    ];
    Target {
        name: "tiles",
        run: tiles,
        pieces,
    }
    .fuzz();
}

#[test]
fn signed_rosters() {
    let pieces = &[
        "[[members]]\n",
        "version",
        "\u{2014} ",
        "\n\n",
        "2026-11-24T08:00:00Z",
        "{\"",
        "\"}",
    ];
    Target {
        name: "rosters",
        run: rosters,
        pieces,
    }
    .fuzz();
}

//! Tests of [`super`]: Go's published vectors, and the `signed_note` crate in both directions.

use super::*;
use crate::envelope::keys::{SigningKey, VerifyingKey};
use crate::envelope::merkle::sha256;
use proptest::prelude::*;

// From the test of Go's golang.org/x/mod/sumdb/note.
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SKEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2p\
                    ZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

// The example of C2SP tlog-cosignature; its keys are not published, so it is only parsed.
const COSIGNED: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
";

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn secret(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn signer(text: &str, n: u8) -> NoteSigner {
    NoteSigner::new(name(text), secret(n))
}

#[test]
fn gos_vector_is_read_and_made() {
    let key: NoteKey = VKEY.parse().unwrap();
    assert_eq!(key.to_string(), VKEY);
    let published = format!("{TEXT}\n{LINE}");
    let note = Note::parse(published.as_bytes()).unwrap();
    let verified = verify_threshold(&note, std::slice::from_ref(&key), 1).unwrap();
    assert_eq!(verified.text(), TEXT);
    assert_eq!(verified.signatures().len(), 1);

    let signer = NoteSigner::from_secret_text(SKEY).unwrap();
    assert_eq!(*signer.to_secret_text(), SKEY);
    assert_eq!(signer.note_key(), key);
    assert_eq!(Note::sign(TEXT, &[&signer]).unwrap().to_string(), published);
}

#[test]
fn mangled_keys_are_refused() {
    for start in 0..=VKEY.len() {
        for end in start..=VKEY.len() {
            let part = &VKEY[start..end];
            assert_eq!(part.parse::<NoteKey>().is_ok(), part == VKEY, "{part}");
        }
    }
    for at in 0..VKEY.len() {
        let mut bytes = VKEY.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(
            std::str::from_utf8(&bytes)
                .unwrap()
                .parse::<NoteKey>()
                .is_err(),
            "{at}"
        );
    }
    // From Go's test: a key type nobody knows, under a fitting id.
    assert_eq!(
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse::<NoteKey>(),
        Err(NoteError::Algorithm { byte: b'e' })
    );
    assert!(NoteSigner::from_secret_text(VKEY).is_err());
    assert!(NoteSigner::from_secret_text(&SKEY.replace("c74f20a3", "c74f20a4")).is_err());
}

#[test]
fn malformed_notes_are_refused() {
    use NoteError as E;
    let line = LINE.trim_end();
    let many = LINE.repeat(MAX_SIGNATURES + 1);
    let large = "x".repeat(MAX_NOTE_BYTES);
    for (note, error) in [
        (String::new(), E::NoSeparator),
        (TEXT.to_string(), E::NoSeparator),
        (format!("{TEXT}{LINE}"), E::NoSeparator),
        (format!("{TEXT}\n"), E::Unsigned),
        (format!("{TEXT}\n{line}"), E::Unsigned),
        (format!("{TEXT}\n{LINE}more\n"), E::SignatureLine),
        (format!("{TEXT}\n-{}", &LINE[3..]), E::SignatureLine),
        (format!("{TEXT}\n{line} \n"), E::SignatureLine),
        (format!("{TEXT}\n— Peter+Neumann x08go/ZJkuA=\n"), E::Name),
        (format!("{TEXT}\n—  x08go/ZJkuA=\n"), E::Name),
        (
            format!("{TEXT}\n— PeterNeumann x08gow==\n"),
            E::SignatureLine,
        ),
        (format!("{TEXT}\n— PeterNeumann !\n"), E::SignatureLine),
        (
            format!("{TEXT}\n{}", LINE.replace("nAM=", "nAN=")),
            E::SignatureLine,
        ),
        (format!("a\tb\n\n{LINE}"), E::Text),
        (format!("a\r\n\n{LINE}"), E::Text),
        (format!("{TEXT}\n{many}"), E::TooManySignatures),
        (format!("{large}\n\n{LINE}"), E::TooLarge),
    ] {
        assert_eq!(Note::parse(note.as_bytes()), Err(error), "{note:.80}");
    }
    assert_eq!(Note::parse(b"\xff\n\n"), Err(E::NotUtf8));
}

#[test]
fn a_text_may_have_empty_lines() {
    let text = "one\n\n\ntwo\n\n";
    let note = Note::sign(text, &[&signer("a", 1)]).unwrap();
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.unverified_text(), text);
}

#[test]
fn names_follow_the_rules() {
    let longest = "x".repeat(MAX_NAME_BYTES);
    for good in ["a", "example.org/log", "вузол.example", longest.as_str()] {
        assert!(KeyName::new(good).is_ok(), "{good}");
    }
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for bad in [
        "",
        " ",
        "a b",
        "a+b",
        "a\u{a0}b",
        "a\nb",
        "a\u{2003}",
        long.as_str(),
    ] {
        assert_eq!(KeyName::new(bad), Err(NoteError::Name), "{bad:?}");
    }
}

#[test]
fn the_threshold_counts_different_keys() {
    let (a, b) = (signer("a", 1), signer("b", 2));
    let keys = [a.note_key(), b.note_key()];
    let one = Note::sign("t\n", &[&a, &a]).unwrap();
    assert_eq!(
        verify_threshold(&one, &keys, 2),
        Err(NoteError::Threshold {
            found: 1,
            threshold: 2
        })
    );
    assert!(verify_threshold(&Note::sign("t\n", &[&a, &b]).unwrap(), &keys, 2).is_ok());

    // One key under two names is one key.
    let alias = signer("alias", 1);
    let both = Note::sign("t\n", &[&a, &alias]).unwrap();
    let named_twice = [a.note_key(), alias.note_key()];
    assert_eq!(
        verify_threshold(&both, &named_twice, 2),
        Err(NoteError::Threshold {
            found: 1,
            threshold: 2
        })
    );
    assert_eq!(
        verify_threshold(&both, &named_twice, 0),
        Err(NoteError::ThresholdZero)
    );
}

#[test]
fn unknown_signatures_are_ignored_and_known_wrong_ones_are_not() {
    let (a, b) = (signer("a", 1), signer("b", 2));
    let note = Note::sign("t\n", &[&b, &a]).unwrap();
    let verified = verify_threshold(&note, &[a.note_key()], 1).unwrap();
    assert_eq!(verified.signatures().len(), 1);
    assert_eq!(verified.to_note(), Note::sign("t\n", &[&a]).unwrap());
    assert_eq!(
        verify_threshold(&note, &[signer("c", 3).note_key()], 1),
        Err(NoteError::Threshold {
            found: 0,
            threshold: 1
        })
    );
    // The same name with another key, and the same key under another name, are unknown.
    assert!(verify_threshold(&note, &[signer("a", 3).note_key()], 1).is_err());
    assert!(verify_threshold(&note, &[signer("c", 1).note_key()], 1).is_err());

    let other = Note::sign("u\n", &[&b]).unwrap();
    let mixed = Note::from_parts(
        "t\n",
        vec![note.signatures()[1].clone(), other.signatures()[0].clone()],
    )
    .unwrap();
    assert_eq!(
        verify_threshold(&mixed, &[a.note_key(), b.note_key()], 1),
        Err(NoteError::WrongSignature { name: "b".into() })
    );
    assert!(verify_threshold(&mixed, &[a.note_key()], 1).is_ok());
}

#[test]
fn colliding_keys_are_refused() {
    // Two keys of the name "x" whose 32-bit ids meet cannot be told apart by a signature line.
    // Such a pair takes 2^16 keys to find; here the lookup is asked about one id twice.
    let mut seen = std::collections::HashMap::new();
    let (one, two) = (0u32..)
        .find_map(|n| {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&n.to_be_bytes());
            let mut bytes = sha256(&[&seed]);
            bytes[31] &= 0x7e;
            let key = VerifyingKey::from_bytes(&bytes).ok()?;
            let key = NoteKey::new(name("x"), Algorithm::Ed25519, key);
            seen.insert(key.id(), key.clone()).map(|other| (other, key))
        })
        .unwrap();
    let mut bytes = one.id().to_be_bytes().to_vec();
    bytes.push(0);
    let line = format!("— x {}", STANDARD.encode(bytes));
    let note = Note::from_parts("t\n", vec![NoteSignature::parse_line(&line).unwrap()]).unwrap();
    assert_eq!(
        verify_threshold(&note, &[one, two], 1),
        Err(NoteError::AmbiguousKey { name: "x".into() })
    );
}

#[test]
fn cosignatures_carry_their_time() {
    let cosigner = Cosigner::new(name("witness.example/w1"), secret(5));
    let key = cosigner.note_key();
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    let mut note = Note::sign("o\n1\nAAAA\n", &[&signer("o", 1)]).unwrap();
    note.add(
        cosigner
            .cosign(note.unverified_text(), 1_679_315_147)
            .unwrap(),
    )
    .unwrap();
    let verified = verify_threshold(&note, std::slice::from_ref(&key), 1).unwrap();
    assert_eq!(verified.signatures()[0].unix_seconds, Some(1_679_315_147));

    // What is signed, in the words of the specification.
    let message = "cosignature/v1\ntime 1679315147\no\n1\nAAAA\n";
    assert!(
        secret(5)
            .verifying_key()
            .verifies(message.as_bytes(), &note.signatures()[1].bytes[8..])
    );

    // The time is covered, and bounded.
    let mut moved = note.clone();
    moved.signatures[1].bytes[7] ^= 1;
    assert!(verify_threshold(&moved, std::slice::from_ref(&key), 1).is_err());
    assert_eq!(cosigner.cosign("o\n", 1 << 63), Err(NoteError::Time));

    // The same key as a plain signer has another id; neither passes for the other.
    let plain = NoteSigner::new(name("witness.example/w1"), secret(5));
    assert_ne!(plain.note_key().id(), key.id());
    assert_eq!(plain.sign(message), Err(NoteError::ReservedStart));
    assert_eq!(plain.sign("DSSEv1 1 a 0 \n"), Err(NoteError::ReservedStart));
}

#[test]
fn the_published_cosigned_checkpoint_is_read() {
    let note = Note::parse(COSIGNED.as_bytes()).unwrap();
    assert_eq!(note.to_string(), COSIGNED);
    assert_eq!(note.signatures().len(), 2);
    let time = &note.signatures()[1].bytes[..8];
    assert_eq!(u64::from_be_bytes(time.try_into().unwrap()), 1_679_315_147);
}

#[test]
fn the_same_line_is_added_once() {
    let mut note = Note::sign("t\n", &[&signer("a", 1)]).unwrap();
    note.add(signer("a", 1).sign("t\n").unwrap()).unwrap();
    assert_eq!(note.signatures().len(), 1);
    note.add(signer("b", 2).sign("t\n").unwrap()).unwrap();
    assert_eq!(note.signatures().len(), 2);
}

#[test]
fn the_signed_note_crate_reads_ours_and_we_read_its() {
    let ours = NoteSigner::new(name("example.org/log"), secret(9));
    let note = Note::sign("hello\n", &[&ours]).unwrap();
    let key = signed_note::StandardVerifier::new(&ours.note_key().to_string()).unwrap();
    let theirs = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(key)]);
    let (verified, unverified) = theirs.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));

    let skey = ours.to_secret_text();
    let signer = signed_note::StandardSigner::new(&skey).unwrap();
    let mut theirs = signed_note::Note::new(b"other\n", &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    let read = Note::parse(&theirs.to_bytes()).unwrap();
    assert_eq!(
        verify_threshold(&read, &[ours.note_key()], 1)
            .unwrap()
            .text(),
        "other\n"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Note::parse(&bytes);
    }

    #[test]
    fn any_text_is_read_without_a_panic_and_comes_back(text in "(\\PC|[\n+— ]){0,60}\n\n— (\\PC|[ =+]){0,40}\n") {
        if let Ok(note) = Note::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_string(), text.clone());
        }
        let _ = text.parse::<NoteKey>();
        let _ = NoteSigner::from_secret_text(&text);
    }

    #[test]
    fn any_flipped_bit_is_noticed(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let key: NoteKey = VKEY.parse().unwrap();
        let mut bytes = format!("{TEXT}\n{LINE}").into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let verified = Note::parse(&bytes).and_then(|note| verify_threshold(&note, &[key], 1));
        prop_assert!(verified.is_err());
    }
}

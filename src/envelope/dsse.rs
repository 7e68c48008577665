//! DSSE version 1: the envelope around every message between nodes.
//!
//! The format is <https://github.com/secure-systems-lab/dsse> (`protocol.md`, `envelope.md`).
//! The signature covers the "pre-authentication encoding" of a type and of the payload's bytes:
//!
//! ```text
//! DSSEv1 29 http://example.com/HelloWorld 11 hello world
//! ```
//!
//! so the payload is never parsed before it is verified, and a payload of one type cannot be
//! taken for one of another. Parse what [`Verified`] owns; nothing else gives you a payload.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::{KeyId, SIGNATURE_LEN, SigningKey, VerifyingKey, count_distinct};
use super::merkle::{Hash, sha256};

/// The largest payload in bytes: that of one gRPC message.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024;

/// The longest payload type in bytes.
pub const MAX_TYPE_BYTES: usize = 255;

/// The largest number of signatures on one envelope.
pub const MAX_SIGNATURES: usize = 16;

/// One signature on an envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Which key made it. A hint that finds the key, not covered by the signature.
    pub key_id: KeyId,
    /// The Ed25519 signature over [`pae`].
    pub sig: [u8; SIGNATURE_LEN],
}

/// A message with signatures that nobody has checked yet.
///
/// The payload may hold personal data: there is no `Debug`, and it is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Zeroizing<Vec<u8>>,
    signatures: Vec<Signature>,
}

/// The parts of an envelope as a transport or a store carries them.
#[derive(Clone, Copy)]
pub struct UnverifiedParts<'a> {
    /// How the payload is to be read.
    pub payload_type: &'a str,
    /// The payload, unverified: to be passed on as it is, never to be parsed.
    pub payload: &'a [u8],
    /// The signatures.
    pub signatures: &'a [Signature],
}

impl Envelope {
    /// Signs a payload.
    pub fn sign(
        payload_type: impl Into<String>,
        payload: Vec<u8>,
        key: &SigningKey,
    ) -> Result<Self, EnvelopeError> {
        let mut envelope = Self {
            payload_type: payload_type.into(),
            payload: Zeroizing::new(payload),
            signatures: Vec::new(),
        };
        envelope.check_limits()?;
        envelope.add_signature(key)?;
        Ok(envelope)
    }

    /// Adds another signer's signature over the same type and payload.
    pub fn add_signature(&mut self, key: &SigningKey) -> Result<(), EnvelopeError> {
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(EnvelopeError::TooManySignatures {
                found: self.signatures.len() + 1,
            });
        }
        let sig = key.sign(&Zeroizing::new(pae(&self.payload_type, &self.payload)));
        self.signatures.push(Signature {
            key_id: key.verifying_key().id(),
            sig,
        });
        Ok(())
    }

    /// Puts an envelope together that came over a transport or out of a store.
    pub fn from_parts(
        payload_type: impl Into<String>,
        payload: Vec<u8>,
        signatures: Vec<Signature>,
    ) -> Result<Self, EnvelopeError> {
        let envelope = Self {
            payload_type: payload_type.into(),
            payload: Zeroizing::new(payload),
            signatures,
        };
        envelope.check_limits()?;
        if envelope.signatures.is_empty() {
            return Err(EnvelopeError::Unsigned);
        }
        Ok(envelope)
    }

    /// The parts, for sending or storing.
    #[must_use]
    pub fn unverified_parts(&self) -> UnverifiedParts<'_> {
        UnverifiedParts {
            payload_type: &self.payload_type,
            payload: &self.payload,
            signatures: &self.signatures,
        }
    }

    /// The SHA-256 of [`pae`]: names type and payload, whoever signed them. Answers and log
    /// leaves refer to a message by this digest.
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest(&self.payload_type, &self.payload)
    }

    /// Reads the JSON form of DSSE. Unknown or repeated fields, a missing key id and sloppy
    /// base64 are refused; standard and URL-safe base64 are both read.
    pub fn from_json(json: &[u8]) -> Result<Self, EnvelopeError> {
        // Four thirds for the base64, and room for the rest.
        if json.len() > MAX_PAYLOAD_BYTES / 3 * 4 + 65_536 {
            return Err(EnvelopeError::PayloadTooLarge { found: json.len() });
        }
        let envelope: JsonEnvelope =
            serde_json::from_slice(json).map_err(|error| EnvelopeError::Json {
                line: error.line(),
                column: error.column(),
            })?;
        let payload = decode_base64(&envelope.payload).ok_or(EnvelopeError::Base64("payload"))?;
        let signatures = envelope
            .signatures
            .iter()
            .map(|signature| {
                let sig = decode_base64(&signature.sig).ok_or(EnvelopeError::Base64("sig"))?;
                let sig = sig
                    .as_slice()
                    .try_into()
                    .map_err(|_| EnvelopeError::SignatureLength)?;
                let key_id = signature.keyid.parse().map_err(|_| EnvelopeError::KeyId)?;
                Ok(Signature { key_id, sig })
            })
            .collect::<Result<_, _>>()?;
        Self::from_parts(envelope.payload_type, payload, signatures)
    }

    /// Writes the JSON form of DSSE, with standard base64, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let envelope = JsonEnvelope {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: self
                .signatures
                .iter()
                .map(|signature| JsonSignature {
                    keyid: signature.key_id.to_string(),
                    sig: STANDARD.encode(signature.sig),
                })
                .collect(),
        };
        // Strings in a struct always serialise.
        serde_json::to_string(&envelope).unwrap_or_default()
    }

    fn check_limits(&self) -> Result<(), EnvelopeError> {
        let length = self.payload_type.len();
        if length == 0 || length > MAX_TYPE_BYTES {
            return Err(EnvelopeError::TypeLength { found: length });
        }
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(EnvelopeError::PayloadTooLarge {
                found: self.payload.len(),
            });
        }
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::TooManySignatures {
                found: self.signatures.len(),
            });
        }
        Ok(())
    }
}

/// A payload whose signature was verified, over exactly these bytes. Wiped when dropped.
pub struct Verified {
    payload_type: String,
    payload: Zeroizing<Vec<u8>>,
    signers: BTreeMap<KeyId, VerifyingKey>,
}

impl Verified {
    /// The payload's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload's bytes, for keeps.
    #[must_use]
    pub fn into_payload(self) -> Zeroizing<Vec<u8>> {
        self.payload
    }

    /// The payload's type, equal to the one that was expected.
    #[must_use]
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The keys whose signatures were verified; at least one.
    pub fn signers(&self) -> impl Iterator<Item = (&KeyId, &VerifyingKey)> {
        self.signers.iter()
    }

    /// Whether the key with this id signed.
    #[must_use]
    pub fn is_signed_by(&self, key_id: &KeyId) -> bool {
        self.signers.contains_key(key_id)
    }

    /// The same as [`Envelope::digest`].
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest(&self.payload_type, &self.payload)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("payload_type", &self.payload_type)
            .field("payload_bytes", &self.payload.len())
            .field("signers", &self.signers.len())
            .finish()
    }
}

/// The pre-authentication encoding, which is what gets signed.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = pae_header(payload_type, payload).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Verifies that at least one key known to `resolve` signed, and that the type is the expected
/// one.
///
/// `resolve` gives the trusted key with an id, or `None`. Signatures of unknown keys and wrong
/// ones are passed over, as DSSE demands, and count for nothing.
pub fn verify(
    envelope: &Envelope,
    expected_type: &str,
    resolve: impl Fn(&KeyId) -> Option<VerifyingKey>,
) -> Result<Verified, EnvelopeError> {
    verify_threshold(envelope, expected_type, resolve, 1)
}

/// Verifies that at least `threshold` different keys known to `resolve` signed, and that the
/// type is the expected one ("multi-signature verification" of DSSE's `protocol.md`).
pub fn verify_threshold(
    envelope: &Envelope,
    expected_type: &str,
    resolve: impl Fn(&KeyId) -> Option<VerifyingKey>,
    threshold: usize,
) -> Result<Verified, EnvelopeError> {
    if threshold == 0 {
        return Err(EnvelopeError::ThresholdZero);
    }
    let message = Zeroizing::new(pae(&envelope.payload_type, &envelope.payload));
    let signers: BTreeMap<KeyId, VerifyingKey> = envelope
        .signatures
        .iter()
        .filter_map(|signature| {
            let key = resolve(&signature.key_id)?;
            key.verifies(&message, &signature.sig)
                .then(|| (key.id(), key))
        })
        .collect();
    let found = count_distinct(signers.values().copied());
    if found < threshold {
        return Err(EnvelopeError::Threshold { found, threshold });
    }
    if envelope.payload_type != expected_type {
        return Err(EnvelopeError::Type {
            expected: expected_type.to_owned(),
        });
    }
    Ok(Verified {
        payload_type: envelope.payload_type.clone(),
        payload: envelope.payload.clone(),
        signers,
    })
}

/// Why an envelope was refused. Nothing of the payload is repeated here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The type is empty or above [`MAX_TYPE_BYTES`].
    #[error("an envelope's payload type has 1 to {MAX_TYPE_BYTES} bytes, not {found}")]
    TypeLength {
        /// Its length in bytes.
        found: usize,
    },
    /// Above [`MAX_PAYLOAD_BYTES`].
    #[error("the envelope is too large ({found} bytes; a payload has {MAX_PAYLOAD_BYTES} at most)")]
    PayloadTooLarge {
        /// Its length in bytes.
        found: usize,
    },
    /// Above [`MAX_SIGNATURES`].
    #[error("the envelope has {found} signatures; {MAX_SIGNATURES} are allowed")]
    TooManySignatures {
        /// How many there are.
        found: usize,
    },
    /// No signature at all.
    #[error("the envelope is not signed")]
    Unsigned,
    /// Not the JSON form of an envelope.
    #[error("not a DSSE envelope in JSON (line {line}, column {column})")]
    Json {
        /// Where reading stopped, from 1.
        line: usize,
        /// Where reading stopped, from 1.
        column: usize,
    },
    /// A field is not base64.
    #[error("the envelope's field `{0}` is not base64")]
    Base64(
        /// The field's name.
        &'static str,
    ),
    /// A signature is not 64 bytes.
    #[error("the envelope has a signature that is not {SIGNATURE_LEN} bytes long")]
    SignatureLength,
    /// A key id is not 64 hexadecimal digits.
    #[error("the envelope has a `keyid` that is not 64 hexadecimal digits")]
    KeyId,
    /// Too few different trusted keys signed these bytes.
    #[error("{found} trusted keys signed these bytes of the envelope; {threshold} must")]
    Threshold {
        /// How many different keys did.
        found: usize,
        /// How many must.
        threshold: usize,
    },
    /// Another type of message than the one expected here.
    #[error("the envelope does not hold a `{expected}`")]
    Type {
        /// The type that was expected.
        expected: String,
    },
    /// The caller asked for no signature at all.
    #[error("a threshold of 0 would accept an unsigned envelope; set it to 1 or more")]
    ThresholdZero,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JsonEnvelope {
    payload: String,
    payload_type: String,
    signatures: Vec<JsonSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSignature {
    keyid: String,
    sig: String,
}

fn pae_header(payload_type: &str, payload: &[u8]) -> String {
    format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
}

fn digest(payload_type: &str, payload: &[u8]) -> Hash {
    sha256(&[pae_header(payload_type, payload).as_bytes(), payload])
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "application/vnd.example.query.v1";

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(&[n; 32])
    }

    fn knows(keys: &[&SigningKey]) -> impl Fn(&KeyId) -> Option<VerifyingKey> + use<> {
        let keys: Vec<VerifyingKey> = keys.iter().map(|key| key.verifying_key()).collect();
        move |id| keys.iter().find(|key| key.id() == *id).copied()
    }

    #[test]
    fn pae_is_that_of_the_protocol() {
        // The example of protocol.md.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        // Lengths count bytes, not characters, and empty parts keep their spaces.
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        assert_eq!(pae("é", b"x"), "DSSEv1 2 é 1 x".as_bytes());
        let envelope = Envelope::sign(TYPE, vec![1, 2], &key(1)).unwrap();
        assert_eq!(envelope.digest(), sha256(&[&pae(TYPE, &[1, 2])]));
    }

    #[test]
    fn what_was_signed_is_what_is_read() {
        let envelope = Envelope::sign(TYPE, b"hello".to_vec(), &key(1)).unwrap();
        let verified = verify(&envelope, TYPE, knows(&[&key(1)])).unwrap();
        assert_eq!(verified.payload(), b"hello");
        assert_eq!(verified.payload_type(), TYPE);
        assert!(verified.is_signed_by(&key(1).verifying_key().id()));
        assert_eq!(verified.digest(), envelope.digest());
        assert_eq!(*verified.into_payload(), b"hello");
    }

    #[test]
    fn a_strangers_or_a_wrong_signature_counts_for_nothing() {
        let envelope = Envelope::sign(TYPE, b"hello".to_vec(), &key(1)).unwrap();
        let refused = Err(EnvelopeError::Threshold {
            found: 0,
            threshold: 1,
        });
        assert_eq!(
            verify(&envelope, TYPE, knows(&[&key(2)])).map(drop),
            refused
        );

        // A key id that names a trusted key, over somebody else's signature.
        let mut signatures = envelope.signatures.clone();
        signatures[0].key_id = key(2).verifying_key().id();
        let forged = Envelope::from_parts(TYPE, b"hello".to_vec(), signatures).unwrap();
        assert_eq!(verify(&forged, TYPE, knows(&[&key(2)])).map(drop), refused);

        // Beside a good one it does no harm.
        let mut both = forged;
        both.add_signature(&key(2)).unwrap();
        assert!(verify(&both, TYPE, knows(&[&key(2)])).is_ok());
    }

    #[test]
    fn another_type_is_refused() {
        let envelope = Envelope::sign(TYPE, b"hello".to_vec(), &key(1)).unwrap();
        assert_eq!(
            verify(&envelope, "other", knows(&[&key(1)])).map(drop),
            Err(EnvelopeError::Type {
                expected: "other".into()
            })
        );
        // Renaming the type breaks the signature, too.
        let renamed =
            Envelope::from_parts("other", b"hello".to_vec(), envelope.signatures).unwrap();
        assert!(verify(&renamed, "other", knows(&[&key(1)])).is_err());
    }

    #[test]
    fn the_threshold_counts_different_keys() {
        let mut envelope = Envelope::sign(TYPE, b"hello".to_vec(), &key(1)).unwrap();
        envelope.add_signature(&key(1)).unwrap();
        let known = [&key(1), &key(2)];
        assert_eq!(
            verify_threshold(&envelope, TYPE, knows(&known), 2).map(drop),
            Err(EnvelopeError::Threshold {
                found: 1,
                threshold: 2
            })
        );
        // Two ids that lead to one key are still one key.
        let one = key(1).verifying_key();
        let mut signatures = envelope.signatures.clone();
        signatures[1].key_id = key(9).verifying_key().id();
        let twice = Envelope::from_parts(TYPE, b"hello".to_vec(), signatures).unwrap();
        assert!(verify_threshold(&twice, TYPE, |_| Some(one), 2).is_err());

        envelope.add_signature(&key(2)).unwrap();
        let verified = verify_threshold(&envelope, TYPE, knows(&known), 2).unwrap();
        assert_eq!(verified.signers().count(), 2);
        assert_eq!(
            verify_threshold(&envelope, TYPE, knows(&known), 0).map(drop),
            Err(EnvelopeError::ThresholdZero)
        );
    }

    #[test]
    fn limits_hold() {
        assert!(matches!(
            Envelope::sign("", vec![], &key(1)).map(drop),
            Err(EnvelopeError::TypeLength { found: 0 })
        ));
        assert!(matches!(
            Envelope::sign(TYPE, vec![0; MAX_PAYLOAD_BYTES + 1], &key(1)).map(drop),
            Err(EnvelopeError::PayloadTooLarge { .. })
        ));
        let mut envelope = Envelope::sign(TYPE, vec![], &key(1)).unwrap();
        for n in 1..MAX_SIGNATURES {
            envelope
                .add_signature(&key(u8::try_from(n).unwrap()))
                .unwrap();
        }
        assert!(envelope.add_signature(&key(1)).is_err());
        assert!(matches!(
            Envelope::from_parts(TYPE, vec![], vec![]).map(drop),
            Err(EnvelopeError::Unsigned)
        ));
    }

    #[test]
    fn json_is_that_of_dsse_and_strict() {
        let envelope = Envelope::sign(TYPE, b"hello \xff\xfe".to_vec(), &key(1)).unwrap();
        let json = envelope.to_json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["payload"], "aGVsbG8g//4=");
        assert_eq!(value["payloadType"], TYPE);
        assert_eq!(
            value["signatures"][0]["keyid"],
            key(1).verifying_key().id().to_string()
        );
        assert!(Envelope::from_json(json.as_bytes()).is_ok_and(|read| read == envelope));
        let url_safe = json.replace("aGVsbG8g//4=", "aGVsbG8g__4=");
        assert!(Envelope::from_json(url_safe.as_bytes()).is_ok_and(|read| read == envelope));

        let id = key(1).verifying_key().id().to_string();
        for (from, to) in [
            ("aGVsbG8g//4=", "aGVsbG8g/_4="),
            ("aGVsbG8g//4=", "aGVsbG8g//4"),
            ("aGVsbG8g//4=", "aGVsbG8g//5="),
            ("{\"payload\"", "{\"extra\":1,\"payload\""),
            ("{\"payload\"", "{\"payload\":\"\",\"payload\""),
            ("\"keyid\"", "\"key_id\""),
            ("\"sig\":\"", "\"sig\":\"AAAA"),
            (id.as_str(), "00"),
            ("}]}", "}]} x"),
        ] {
            let changed = json.replace(from, to);
            assert_ne!(changed, json);
            assert!(
                Envelope::from_json(changed.as_bytes()).is_err(),
                "{from} -> {to}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_flipped_byte_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 1..200),
            at in any::<proptest::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let good = Envelope::sign(TYPE, payload.clone(), &key(1)).unwrap();
            let mut payload = payload;
            let at = at.index(payload.len());
            payload[at] ^= flip;
            let bad = Envelope::from_parts(TYPE, payload, good.signatures.clone()).unwrap();
            prop_assert!(verify(&good, TYPE, knows(&[&key(1)])).is_ok());
            prop_assert!(verify(&bad, TYPE, knows(&[&key(1)])).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::from_json(&bytes);
        }
    }
}

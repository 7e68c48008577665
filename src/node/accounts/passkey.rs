//! Passkeys: WebAuthn (W3C, level 2), as far as a relying party needs it that asks for no
//! attestation. What an authenticator signs are three things of fixed form: the client data, a small
//! JSON object; the authenticator data, of which the first 37 octets count; and the credential's
//! public key, which browsers hand over as SubjectPublicKeyInfo. `webpki` and `ring` verify.
//!
//! A passkey is asked to verify its person (by a finger, a face, a PIN): it is two factors in one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use webpki::RawPublicKeyEntity;

/// Longest credential id, in octets (WebAuthn, section 5.8.3).
const MAX_ID: usize = 1_023;

/// Longest public key, in octets: RSA of 8,192 bits fits.
const MAX_KEY: usize = 1_200;

/// Longest label, in characters.
const MAX_LABEL: usize = 64;

/// Most passkeys of one account.
pub const MAX_PASSKEYS: usize = 10;

/// Length of the part of the authenticator data that every answer has, in octets.
const FIXED: usize = 37;

/// The person was there.
const PRESENT: u8 = 0x01;

/// The person was verified.
const VERIFIED: u8 = 0x04;

/// A credential follows.
const CREDENTIAL: u8 = 0x40;

/// Which signatures are taken: ECDSA on P-256, Ed25519, RSA (what authenticators of machines without
/// the others have), each with SHA-256 where there is a choice.
static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 3] = [
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
];

/// A passkey of an account.
#[derive(Clone, Serialize, Deserialize)]
pub struct Passkey {
    /// The credential's id, hex.
    id: String,
    /// The public key, SubjectPublicKeyInfo, hex.
    key: String,
    /// The name of the console for which it is good.
    host: String,
    /// How often it signed, as far as it counts.
    count: u32,
    /// What its person calls it.
    pub label: String,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
}

/// What an authenticator answered.
pub struct Answer<'a> {
    /// Scheme, host and port of the page that asked.
    pub origin: &'a str,
    /// The name that passkeys are good for: the host of the origin.
    pub host: &'a str,
    /// The challenge, base64url.
    pub challenge: &'a str,
    /// The credential's id.
    pub credential: &'a [u8],
    /// The client data.
    pub client_data: &'a [u8],
    /// The authenticator data.
    pub authenticator_data: &'a [u8],
}

/// Why an answer does not hold. People are told only that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// The client data are none, or speak of something else.
    #[error("the client data are of another page, challenge or ceremony")]
    ClientData,
    /// The authenticator data are none, or of another host.
    #[error("the authenticator data are of another host, or none")]
    AuthenticatorData,
    /// Nobody was there, or nobody was verified.
    #[error("the authenticator did not verify its person")]
    NotVerified,
    /// A key that is none, or of another kind.
    #[error("the public key is of a kind that is not taken")]
    Key,
    /// A signature that does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// It counted backwards: there are two of it.
    #[error("the passkey counts backwards: it was copied")]
    Copied,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

impl Answer<'_> {
    /// Checks what both ceremonies have, and gives flags and count.
    fn check(&self, kind: &str) -> Result<(u8, u32), PasskeyError> {
        let said: ClientData =
            serde_json::from_slice(self.client_data).map_err(|_| PasskeyError::ClientData)?;
        let same = |a: &str, b: &str| bool::from(a.as_bytes().ct_eq(b.as_bytes()));
        if said.kind != kind
            || said.cross_origin
            || said.origin != self.origin
            || !same(&said.challenge, self.challenge)
        {
            return Err(PasskeyError::ClientData);
        }
        let data: &[u8; FIXED] = self
            .authenticator_data
            .first_chunk()
            .ok_or(PasskeyError::AuthenticatorData)?;
        let (host, rest) = data.split_at(32);
        if host != digest(&SHA256, self.host.as_bytes()).as_ref() {
            return Err(PasskeyError::AuthenticatorData);
        }
        let [flags, a, b, c, d] = rest else {
            return Err(PasskeyError::AuthenticatorData);
        };
        if flags & PRESENT == 0 || flags & VERIFIED == 0 {
            return Err(PasskeyError::NotVerified);
        }
        Ok((*flags, u32::from_be_bytes([*a, *b, *c, *d])))
    }
}

impl Passkey {
    /// A new passkey, from the answer to its creation.
    ///
    /// # Errors
    /// [`PasskeyError`].
    pub fn create(
        answer: &Answer<'_>,
        public_key: &[u8],
        label: &str,
        now_ms: u64,
    ) -> Result<Self, PasskeyError> {
        let (flags, count) = answer.check("webauthn.create")?;
        // The credential's id stands there once more, after the model of the authenticator.
        let said = answer
            .authenticator_data
            .get(FIXED + 16..)
            .and_then(|rest| rest.split_first_chunk::<2>())
            .and_then(|(length, rest)| rest.get(..usize::from(u16::from_be_bytes(*length))));
        if flags & CREDENTIAL == 0
            || said != Some(answer.credential)
            || answer.credential.is_empty()
            || answer.credential.len() > MAX_ID
        {
            return Err(PasskeyError::AuthenticatorData);
        }
        let key = SubjectPublicKeyInfoDer::from(public_key);
        if public_key.len() > MAX_KEY || RawPublicKeyEntity::try_from(&key).is_err() {
            return Err(PasskeyError::Key);
        }
        let label: String = label.trim().chars().take(MAX_LABEL).collect();
        Ok(Self {
            id: hex::encode(answer.credential),
            key: hex::encode(public_key),
            host: answer.host.to_owned(),
            count,
            label,
            added_ms: now_ms,
        })
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, credential: &[u8]) -> bool {
        self.id == hex::encode(credential)
    }

    /// The credential's id.
    #[must_use]
    pub fn credential(&self) -> Vec<u8> {
        hex::decode(&self.id).unwrap_or_default()
    }

    /// Checks that it signed an answer, and counts on.
    ///
    /// # Errors
    /// [`PasskeyError`].
    pub fn verify(&mut self, answer: &Answer<'_>, signature: &[u8]) -> Result<(), PasskeyError> {
        let (_, count) = answer.check("webauthn.get")?;
        if self.host != answer.host {
            return Err(PasskeyError::AuthenticatorData);
        }
        let key = hex::decode(&self.key).map_err(|_| PasskeyError::Key)?;
        let key = SubjectPublicKeyInfoDer::from(key);
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| PasskeyError::Key)?;
        let mut signed = answer.authenticator_data.to_vec();
        signed.extend_from_slice(digest(&SHA256, answer.client_data).as_ref());
        // An algorithm that is not the key's own says so before it looks at the signature.
        if !ALGORITHMS
            .iter()
            .any(|algorithm| key.verify_signature(*algorithm, &signed, signature).is_ok())
        {
            return Err(PasskeyError::Signature);
        }
        // Those that do not count stay at 0.
        if (count > 0 || self.count > 0) && count <= self.count {
            return Err(PasskeyError::Copied);
        }
        self.count = count;
        Ok(())
    }
}

/// Reads what a script wrote as base64url.
#[must_use]
pub fn read(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}

/// Writes octets as a script reads them.
#[must_use]
pub fn write(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;

    const ORIGIN: &str = "https://wayhome.ministry.example";
    const HOST: &str = "wayhome.ministry.example";

    /// An authenticator in software.
    struct Device {
        pair: EcdsaKeyPair,
        count: u32,
    }

    impl Device {
        fn new() -> Self {
            let random = SystemRandom::new();
            let pkcs8 =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random)
                    .unwrap();
            Self { pair, count: 1 }
        }

        fn key(&self) -> Vec<u8> {
            // SubjectPublicKeyInfo of a point on P-256 (RFC 5480): all but the point is the same.
            let mut key =
                hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
            key.extend_from_slice(self.pair.public_key().as_ref());
            key
        }

        fn data(&self, host: &str, flags: u8, credential: &[u8]) -> Vec<u8> {
            let mut data = digest(&SHA256, host.as_bytes()).as_ref().to_vec();
            data.push(flags);
            data.extend(self.count.to_be_bytes());
            if flags & CREDENTIAL != 0 {
                data.extend([0; 16]);
                data.extend(u16::try_from(credential.len()).unwrap().to_be_bytes());
                data.extend(credential);
                data.extend([0xa0]);
            }
            data
        }

        fn sign(&self, data: &[u8], client: &[u8]) -> Vec<u8> {
            let mut signed = data.to_vec();
            signed.extend_from_slice(digest(&SHA256, client).as_ref());
            self.pair
                .sign(&SystemRandom::new(), &signed)
                .unwrap()
                .as_ref()
                .to_vec()
        }
    }

    fn client(kind: &str, challenge: &str, origin: &str, cross: bool) -> Vec<u8> {
        serde_json::json!({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": cross})
            .to_string()
            .into_bytes()
    }

    fn answer<'a>(client_data: &'a [u8], authenticator_data: &'a [u8]) -> Answer<'a> {
        Answer {
            origin: ORIGIN,
            host: HOST,
            challenge: "Y2hhbGxlbmdl",
            credential: b"id",
            client_data,
            authenticator_data,
        }
    }

    fn made(device: &Device) -> Passkey {
        let client = client("webauthn.create", "Y2hhbGxlbmdl", ORIGIN, false);
        let data = device.data(HOST, 0x45, b"id");
        Passkey::create(&answer(&client, &data), &device.key(), " Phone ", 7).unwrap()
    }

    #[test]
    fn a_passkey_signs_for_its_own_page_challenge_and_person_alone() {
        let mut device = Device::new();
        let passkey = made(&device);
        assert!(passkey.is(b"id") && passkey.label == "Phone");
        device.count = 2;
        let good = client("webauthn.get", "Y2hhbGxlbmdl", ORIGIN, false);
        let data = device.data(HOST, 0x05, b"");
        let signature = device.sign(&data, &good);
        let tried = |client: &[u8], data: &[u8], signature: &[u8]| {
            passkey
                .clone()
                .verify(&answer(client, data), signature)
                .err()
        };
        assert_eq!(tried(&good, &data, &signature), None);
        for wrong in [
            client("webauthn.create", "Y2hhbGxlbmdl", ORIGIN, false),
            client("webauthn.get", "b3RoZXI", ORIGIN, false),
            client(
                "webauthn.get",
                "Y2hhbGxlbmdl",
                "https://evil.example",
                false,
            ),
            client("webauthn.get", "Y2hhbGxlbmdl", ORIGIN, true),
            b"{}".to_vec(),
            b"nonsense".to_vec(),
        ] {
            let signature = device.sign(&data, &wrong);
            assert_eq!(
                tried(&wrong, &data, &signature),
                Some(PasskeyError::ClientData)
            );
        }
        for (wrong, why) in [
            (
                device.data("evil.example", 0x05, b""),
                PasskeyError::AuthenticatorData,
            ),
            (device.data(HOST, 0x01, b""), PasskeyError::NotVerified),
            (device.data(HOST, 0x04, b""), PasskeyError::NotVerified),
            (data[..36].to_vec(), PasskeyError::AuthenticatorData),
            (Vec::new(), PasskeyError::AuthenticatorData),
        ] {
            let signature = device.sign(&wrong, &good);
            assert_eq!(tried(&good, &wrong, &signature), Some(why));
        }
        // Another's signature, a changed one, none.
        let other = Device::new().sign(&data, &good);
        let mut changed = signature.clone();
        *changed.last_mut().unwrap() ^= 1;
        for wrong in [other, changed, Vec::new()] {
            assert_eq!(tried(&good, &data, &wrong), Some(PasskeyError::Signature));
        }
    }

    #[test]
    fn a_copy_is_told_by_its_count() {
        let mut device = Device::new();
        device.count = 5;
        let mut passkey = made(&device);
        let client = client("webauthn.get", "Y2hhbGxlbmdl", ORIGIN, false);
        let mut sign = |count: u32| {
            device.count = count;
            let data = device.data(HOST, 0x05, b"");
            let signature = device.sign(&data, &client);
            passkey.verify(&answer(&client, &data), &signature)
        };
        assert_eq!(sign(5), Err(PasskeyError::Copied));
        assert_eq!(sign(0), Err(PasskeyError::Copied));
        assert_eq!(sign(6), Ok(()));
        assert_eq!(sign(6), Err(PasskeyError::Copied));
        // One that does not count is taken as often as it signs.
        let mut silent = Device::new();
        silent.count = 0;
        let mut passkey = made(&silent);
        for _ in 0..2 {
            let data = silent.data(HOST, 0x05, b"");
            let signature = silent.sign(&data, &client);
            assert_eq!(passkey.verify(&answer(&client, &data), &signature), Ok(()));
        }
    }

    #[test]
    fn what_is_no_credential_is_not_added() {
        let device = Device::new();
        let client = client("webauthn.create", "Y2hhbGxlbmdl", ORIGIN, false);
        let create =
            |data: &[u8], key: &[u8]| Passkey::create(&answer(&client, data), key, "", 0).err();
        let data = device.data(HOST, 0x45, b"id");
        assert_eq!(create(&data, &device.key()), None);
        for wrong in [
            device.data(HOST, 0x05, b"id"),
            device.data(HOST, 0x45, b"other"),
            data[..54].to_vec(),
        ] {
            assert_eq!(
                create(&wrong, &device.key()),
                Some(PasskeyError::AuthenticatorData)
            );
        }
        for wrong in [&b""[..], b"nonsense", &device.key()[1..]] {
            assert_eq!(create(&data, wrong), Some(PasskeyError::Key));
        }
    }
}

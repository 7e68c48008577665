//! The identity token of OpenID Connect: three parts of base64url, the last of them a signature
//! (RFC 7515) by one of the provider's keys (RFC 7517). `ring` verifies. An algorithm is taken only
//! where it is on this list and fits the key: none is no signature, and one made with a secret that
//! this node has as well would prove nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

/// How old a token may be, and how far the provider's clock may be off, in seconds.
const AGE: u64 = 600;
const SKEW: u64 = 60;

/// Longest identifier of a person, in octets (OpenID Connect Core, section 2).
pub const MAX_SUBJECT: usize = 255;

/// Why a token does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none.
    #[error("the identity token cannot be read")]
    Form,
    /// Signed in a way that is not taken.
    #[error("the identity token is signed in no way that is taken, or not at all")]
    Algorithm,
    /// By nobody known.
    #[error("no key of the provider has signed the identity token")]
    Signature,
    /// Of another provider.
    #[error("the identity token is of another provider")]
    Issuer,
    /// For somebody else.
    #[error("the identity token is for another client")]
    Audience,
    /// Of another sign-in.
    #[error("the identity token is of another sign-in")]
    Nonce,
    /// At another time.
    #[error("the identity token has expired, or was issued at another time: compare the clocks")]
    Time,
    /// Not strongly enough.
    #[error("the person did not sign in as strongly as acr of [identity_provider] asks for")]
    Context,
    /// Not recently enough.
    #[error("the provider does not say that the person signed in there as recently as was asked")]
    Proved,
    /// Nobody.
    #[error("the identity token identifies nobody")]
    Subject,
}

/// What a token must say.
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// The client.
    pub audience: &'a str,
    /// What the sign-in was begun with.
    pub nonce: &'a str,
    /// The contexts of which it must name one; any if there is none.
    pub acr: &'a [String],
    /// When the person must have signed in at the earliest, in seconds since 1970.
    pub oldest: u64,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// What it says.
#[derive(Deserialize)]
pub struct Claims {
    iss: String,
    /// The person.
    pub sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: u64,
    iat: u64,
    nonce: Option<String>,
    acr: Option<String>,
    /// When the person signed in at the provider, in seconds since 1970.
    pub auth_time: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood: there is none that is.
    crit: Option<serde_json::Value>,
}

/// The keys of a provider.
#[derive(Deserialize)]
pub struct Keys {
    keys: Vec<Key>,
}

/// A key. Members that its kind has not are not there.
#[derive(Deserialize)]
struct Key {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Keys {
    /// What a token says, if it holds.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Claims, TokenError> {
        let mut parts = token.split('.');
        let (Some(head), Some(body), Some(seal), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Form);
        };
        let signed = token
            .get(..head.len() + 1 + body.len())
            .ok_or(TokenError::Form)?;
        let read = |part: &str| octets(part).ok_or(TokenError::Form);
        let seal = read(seal)?;
        let head: Head = serde_json::from_slice(&read(head)?).map_err(|_| TokenError::Form)?;
        if head.crit.is_some() {
            return Err(TokenError::Form);
        }
        if !ALGORITHMS.contains(&head.alg.as_str()) {
            return Err(TokenError::Algorithm);
        }
        let by_one = self
            .keys
            .iter()
            .filter(|key| head.kid.is_none() || key.kid == head.kid)
            .any(|key| key.has_signed(&head.alg, signed.as_bytes(), &seal));
        if !by_one {
            return Err(TokenError::Signature);
        }
        let claims: Claims = serde_json::from_slice(&read(body)?).map_err(|_| TokenError::Form)?;
        claims.check(expected)?;
        Ok(claims)
    }
}

impl Claims {
    fn check(&self, expected: &Expected<'_>) -> Result<(), TokenError> {
        if self.iss != expected.issuer {
            return Err(TokenError::Issuer);
        }
        // One that is for others as well says whom it was given to.
        let ours = match &self.aud {
            Audience::One(one) => one == expected.audience,
            Audience::Many(many) => {
                many.iter().any(|one| one == expected.audience)
                    && (many.len() == 1 || self.azp.is_some())
            }
        };
        let other = self
            .azp
            .as_ref()
            .is_some_and(|azp| azp != expected.audience);
        if !ours || other {
            return Err(TokenError::Audience);
        }
        let nonce = self.nonce.as_deref().unwrap_or_default();
        if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
            return Err(TokenError::Nonce);
        }
        if expected.now >= self.exp.saturating_add(SKEW)
            || self.iat > expected.now + SKEW
            || self.iat.saturating_add(AGE) < expected.now
        {
            return Err(TokenError::Time);
        }
        let acr = self.acr.as_deref().unwrap_or_default();
        if !expected.acr.is_empty() && !expected.acr.iter().any(|known| known == acr) {
            return Err(TokenError::Context);
        }
        let proved = self.auth_time.unwrap_or(0);
        if proved < expected.oldest || proved > expected.now + SKEW {
            return Err(TokenError::Proved);
        }
        if self.sub.is_empty() || self.sub.len() > MAX_SUBJECT {
            return Err(TokenError::Subject);
        }
        Ok(())
    }
}

/// The algorithms that are taken.
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

impl Key {
    /// Whether it has signed this, by this algorithm, if it is of that kind at all.
    fn has_signed(&self, algorithm: &str, message: &[u8], seal: &[u8]) -> bool {
        let other =
            |said: &Option<String>, meant: &str| said.as_ref().is_some_and(|said| said != meant);
        if other(&self.purpose, "sig") || other(&self.alg, algorithm) {
            return false;
        }
        let part = |part: &Option<String>| part.as_deref().and_then(octets).unwrap_or_default();
        let rsa = |parameters| {
            self.kty == "RSA"
                && RsaPublicKeyComponents {
                    n: part(&self.n),
                    e: part(&self.e),
                }
                .verify(parameters, message, seal)
                .is_ok()
        };
        let curve = |name: &str| self.crv.as_deref() == Some(name);
        let point = |parameters| {
            let mut point = vec![4];
            point.extend(part(&self.x));
            point.extend(part(&self.y));
            UnparsedPublicKey::new(parameters, point)
                .verify(message, seal)
                .is_ok()
        };
        match algorithm {
            "RS256" => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => {
                self.kty == "EC" && curve("P-256") && point(&signature::ECDSA_P256_SHA256_FIXED)
            }
            "ES384" => {
                self.kty == "EC" && curve("P-384") && point(&signature::ECDSA_P384_SHA384_FIXED)
            }
            "EdDSA" => {
                self.kty == "OKP"
                    && curve("Ed25519")
                    && UnparsedPublicKey::new(&signature::ED25519, part(&self.x))
                        .verify(message, seal)
                        .is_ok()
            }
            _ => false,
        }
    }
}

fn octets(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    struct Signer {
        ed: Ed25519KeyPair,
        ec: EcdsaKeyPair,
    }

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
            let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let ec = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
            Self {
                ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
                ec: EcdsaKeyPair::from_pkcs8(how, ec.as_ref(), &random).unwrap(),
            }
        }

        fn keys(&self) -> Value {
            let (x, y) = self.ec.public_key().as_ref()[1..].split_at(32);
            json!({"keys": [
                {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig",
                 "x": URL_SAFE_NO_PAD.encode(self.ed.public_key())},
                {"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256",
                 "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)},
                {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            ]})
        }

        fn token(&self, head: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", part(head), part(claims));
            let seal = match head["alg"].as_str() {
                Some("EdDSA") => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
                Some("ES256") => {
                    let random = SystemRandom::new();
                    let seal = self.ec.sign(&random, signed.as_bytes()).unwrap();
                    seal.as_ref().to_vec()
                }
                // What a library that trusts the head would verify with the client's own secret.
                Some("HS256") => {
                    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret");
                    ring::hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
                }
                _ => Vec::new(),
            };
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(seal))
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example", "sub": "person-1", "aud": "wayhome", "nonce": "n",
               "exp": NOW + 300, "iat": NOW, "auth_time": NOW - 10, "acr": "mfa"})
    }

    fn verify(keys: &Value, token: &str, acr: &[String]) -> Result<String, TokenError> {
        let keys: Keys = serde_json::from_value(keys.clone()).unwrap();
        let expected = Expected {
            issuer: "https://id.example",
            audience: "wayhome",
            nonce: "n",
            acr,
            oldest: NOW - 300,
            now: NOW,
        };
        keys.verify(token, &expected).map(|claims| claims.sub)
    }

    #[test]
    fn a_token_is_taken_from_a_key_of_the_provider_by_an_algorithm_of_the_list() {
        let (signer, other) = (Signer::new(), Signer::new());
        let keys = signer.keys();
        let take = |token: &str| verify(&keys, token, &[]);
        for head in [
            json!({"alg": "EdDSA", "kid": "ed"}),
            json!({"alg": "EdDSA"}),
            json!({"alg": "ES256", "kid": "ec", "typ": "JWT"}),
        ] {
            let token = signer.token(&head, &claims());
            assert_eq!(take(&token), Ok("person-1".to_owned()), "{head}");
            // Somebody else's signature, and none.
            let forged = other.token(&head, &claims());
            assert_eq!(take(&forged), Err(TokenError::Signature), "{head}");
            let bare = &token[..=token.rfind('.').unwrap()];
            assert_eq!(take(bare), Err(TokenError::Signature), "{head}");
            // The signature of other words.
            let mut changed = claims();
            changed["sub"] = "person-2".into();
            let seal = token.rsplit('.').next().unwrap();
            let moved = format!("{}.{}.{seal}", part(&head), part(&changed));
            assert_eq!(take(&moved), Err(TokenError::Signature), "{head}");
        }
        for head in [
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": "HS256", "kid": "secret"}),
            json!({"alg": "HS256"}),
            json!({"alg": "ES512"}),
        ] {
            let token = signer.token(&head, &claims());
            assert_eq!(take(&token), Err(TokenError::Algorithm), "{head}");
        }
        for head in [
            json!({"alg": "EdDSA", "kid": "unknown"}),
            json!({"alg": "EdDSA", "kid": "ec"}),
            json!({"alg": "RS256", "kid": "ed"}),
        ] {
            let token = signer.token(&head, &claims());
            assert_eq!(take(&token), Err(TokenError::Signature), "{head}");
        }
        let extended = json!({"alg": "EdDSA", "crit": ["b64"], "b64": false});
        for wrong in [
            signer.token(&extended, &claims()),
            signer.token(&json!({"alg": "EdDSA"}), &json!({"sub": 1})),
            String::new(),
            "a.b".to_owned(),
            "....".to_owned(),
            "e30.e30.e30".to_owned(),
        ] {
            assert_eq!(take(&wrong), Err(TokenError::Form), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_for_this_sign_in_at_this_client_now() {
        let signer = Signer::new();
        let keys = signer.keys();
        let take = |claims: &Value| {
            let token = signer.token(&json!({"alg": "EdDSA"}), claims);
            verify(&keys, &token, &["mfa".to_owned()])
        };
        let with = |name: &str, value: Value| {
            let mut changed = claims();
            if value.is_null() {
                changed.as_object_mut().unwrap().remove(name);
            } else {
                changed[name] = value;
            }
            changed
        };
        assert!(take(&claims()).is_ok());
        let mut several = with("aud", json!(["other", "wayhome"]));
        assert_eq!(take(&several), Err(TokenError::Audience));
        several["azp"] = "wayhome".into();
        assert!(take(&several).is_ok());
        for (name, value, why) in [
            ("iss", json!("https://id.example/"), TokenError::Issuer),
            ("iss", json!("https://evil.example"), TokenError::Issuer),
            ("aud", json!("other"), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("azp", json!("other"), TokenError::Audience),
            ("nonce", json!("m"), TokenError::Nonce),
            ("nonce", Value::Null, TokenError::Nonce),
            ("exp", json!(NOW - 60), TokenError::Time),
            ("iat", json!(NOW + 61), TokenError::Time),
            ("iat", json!(NOW - 601), TokenError::Time),
            ("acr", json!("0"), TokenError::Context),
            ("acr", Value::Null, TokenError::Context),
            ("auth_time", json!(NOW - 301), TokenError::Proved),
            ("auth_time", json!(NOW + 61), TokenError::Proved),
            ("auth_time", Value::Null, TokenError::Proved),
            ("sub", json!(""), TokenError::Subject),
            ("sub", json!("x".repeat(256)), TokenError::Subject),
            ("sub", Value::Null, TokenError::Form),
            ("exp", Value::Null, TokenError::Form),
        ] {
            assert_eq!(
                take(&with(name, value.clone())).err(),
                Some(why),
                "{name}: {value}"
            );
        }
    }
}

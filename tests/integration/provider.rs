//! An identity provider (OpenID Connect) in small: it signs with a real key, and says what a test has
//! it say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the node is called there, and its secret.
pub const CLIENT: &str = "wayhome";
pub const SECRET: &str = "a secret: with a colon & more";

/// A provider on this machine.
pub struct Provider {
    pub issuer: String,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

struct State {
    issuer: String,
    key: Ed25519KeyPair,
    /// What it publishes of its key.
    published: String,
    /// Codes that were given and not brought yet: challenge, redirect, claims, head.
    codes: BTreeMap<String, Code>,
    given: usize,
}

struct Code {
    challenge: String,
    redirect: String,
    head: Value,
    claims: Value,
}

fn key() -> Ed25519KeyPair {
    let seed: [u8; 32] = wayhome::ambient::Ambient::system().random();
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
}

/// The parts of a query or form.
pub fn parts(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

impl Provider {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let first = key();
        let state = Arc::new(Mutex::new(State {
            issuer: issuer.clone(),
            published: URL_SAFE_NO_PAD.encode(first.public_key()),
            key: first,
            codes: BTreeMap::new(),
            given: 0,
        }));
        let serving = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let state = Arc::clone(&state);
                    tokio::spawn(async move { answer(stream, &state).await });
                }
            }
        });
        Self {
            issuer,
            state,
            serving,
        }
    }

    /// A person signs in where the node sent the browser to, at `now`, in seconds since 1970. Gives the
    /// query that the browser is sent back with. `change` has the provider say something else.
    pub fn sign_in(
        &self,
        address: &str,
        subject: &str,
        now: u64,
        change: impl FnOnce(&mut Value, &mut Value),
    ) -> String {
        let (endpoint, query) = address.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", self.issuer));
        let asked = parts(query);
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("code_challenge_method", "S256"),
            ("scope", "openid"),
            ("acr_values", "mfa"),
        ] {
            assert_eq!(asked[name], value);
        }
        let mut head = json!({"alg": "EdDSA", "kid": "1"});
        let mut claims = json!({
            "iss": self.issuer, "sub": subject, "aud": CLIENT, "nonce": asked["nonce"],
            "iat": now, "exp": now + 300, "auth_time": now, "acr": "mfa",
        });
        change(&mut head, &mut claims);
        let mut state = self.state.lock().unwrap();
        state.given += 1;
        let code = format!("code-{}", state.given);
        state.codes.insert(
            code.clone(),
            Code {
                challenge: asked["code_challenge"].clone(),
                redirect: asked["redirect_uri"].clone(),
                head,
                claims,
            },
        );
        format!("code={code}&state={}&iss={}", asked["state"], self.issuer)
    }

    /// From now on it signs with a key that it does not publish.
    pub fn sign_with_another_key(&self) {
        self.state.lock().unwrap().key = key();
    }

    /// Nobody answers there any more.
    pub fn stop(&self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut asked = Vec::new();
    let (head, body) = loop {
        if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&asked).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (status, said) = state.lock().unwrap().say(&path, &head, &body);
    let said = said.to_string();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
        said.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

impl State {
    fn say(&mut self, path: &str, head: &str, body: &str) -> (u16, Value) {
        let issuer = &self.issuer;
        match path {
            "/.well-known/openid-configuration" => (
                200,
                json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/keys"),
                }),
            ),
            "/keys" => (
                200,
                json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1",
                    "x": self.published}]}),
            ),
            "/token" => self.token(head, body),
            _ => (404, json!({})),
        }
    }

    fn token(&mut self, head: &str, body: &str) -> (u16, Value) {
        let refused = (400, json!({"error": "invalid_grant"}));
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(CLIENT), encoded(SECRET));
        let basic = format!("authorization: basic {}", STANDARD.encode(pair)).to_lowercase();
        if !head.to_lowercase().contains(&basic) {
            return (401, json!({"error": "invalid_client"}));
        }
        let asked = parts(body);
        let Some(code) = self.codes.remove(&asked["code"]) else {
            return refused;
        };
        let verifier = digest(&SHA256, asked["code_verifier"].as_bytes());
        if URL_SAFE_NO_PAD.encode(verifier) != code.challenge
            || asked["redirect_uri"] != code.redirect
            || asked["grant_type"] != "authorization_code"
        {
            return refused;
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&code.head), part(&code.claims));
        let seal = match code.head["alg"].as_str() {
            Some("EdDSA") => URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes())),
            _ => String::new(),
        };
        (
            200,
            json!({"access_token": "x", "token_type": "Bearer", "id_token": format!("{signed}.{seal}")}),
        )
    }
}

//! A real identity provider: Glewlwyd, where the system's package of it is installed. Its state is a
//! database of its own in a directory of its own, and it ends with the test.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::process::{PATIENCE, comes};
use crate::provider::CLIENT;

/// The client's secret there.
pub const SECRET: &str = "f3a1c5d8e2b74960";

const PASSWORD: &str = "correct horse battery";

pub struct Glewlwyd {
    port: u16,
    home: TempDir,
    _child: Child,
}

async fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    run.status
        .success()
        .then(|| String::from_utf8(run.stdout).unwrap())
}

impl Glewlwyd {
    /// Starts one, if it is installed with all that it takes.
    pub async fn start() -> Option<Self> {
        let docs = Path::new("/usr/share/doc/glewlwyd");
        let schema = docs.join("database/init.sqlite3.sql.gz");
        let sample = docs.join("glewlwyd.conf.sample.gz");
        let schema = output("zcat", &[schema.to_str().unwrap()]).await?;
        let sample = output("zcat", &[sample.to_str().unwrap()]).await?;
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("glewlwyd.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&database)
            .create_if_missing(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(schema))
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        // Nobody else takes a port that was free a moment ago, or the test says so.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let settings: String = sample
            .lines()
            .map(|line| match line.trim_start() {
                one if one.starts_with("port=") => format!("port={port}\n"),
                one if one.starts_with("external_url=") => {
                    format!("external_url=\"http://127.0.0.1:{port}\"\n")
                }
                one if one.starts_with("path = \"/var/cache") => {
                    format!("path = \"{}\"\n", database.display())
                }
                one if one.starts_with("cookie_domain=") => "cookie_domain=\"\"\n".to_owned(),
                one if one.starts_with("cookie_secure=") => "cookie_secure=0\n".to_owned(),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = home.path().join("glewlwyd.conf");
        std::fs::write(&config, settings).unwrap();
        let child = Command::new("glewlwyd")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        comes("Glewlwyd", async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some(Self {
            port,
            home,
            _child: child,
        })
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}/api/oidc", self.port)
    }

    /// Makes it know the node, by where it sends people back to, and one person. None where no key
    /// can be made for it.
    pub async fn furnish(&self, redirect: &str) -> Option<()> {
        let key = output("openssl", &["genrsa", "2048"]).await?;
        let file = self.home.path().join("key.pem");
        std::fs::write(&file, &key).unwrap();
        let public = ["rsa", "-pubout", "-in", file.to_str().unwrap()];
        let public = output("openssl", &public).await?;
        let chief = self.cookie("admin", "password").await;
        let plugin = json!({"module": "oidc", "name": "oidc", "display_name": "OpenID Connect",
            "enabled": true, "parameters": {
                "iss": self.issuer(), "jwt-type": "rsa", "jwt-key-size": "256",
                "key": key, "cert": public, "access-token-duration": 3600,
                "refresh-token-duration": 3600, "code-duration": 600,
                "refresh-token-rolling": true, "allow-non-oidc": false,
                "auth-type-code-enabled": true, "auth-type-code-revoke-replayed": true,
                "auth-type-token-enabled": false, "auth-type-id-token-enabled": true,
                "auth-type-none-enabled": false, "auth-type-password-enabled": false,
                "auth-type-client-enabled": false, "auth-type-device-enabled": false,
                "auth-type-refresh-enabled": false, "scope": [], "additional-parameters": [],
                "claims": [], "service-documentation": "", "op-policy-uri": "", "op-tos-uri": "",
                "jwks-show": true, "jwks-x5c": [], "request-parameter-allow": false,
                "address-claim": {"type": "no"}, "name-claim": "no", "email-claim": "no",
                "scope-claim": "no", "subject-type": "public", "pkce-allowed": true,
                "pkce-method-plain-allowed": false, "pkce-required": true, "pkce-scopes": [],
                "introspection-revocation-allowed": false, "register-client-allowed": false,
                "session-management-allowed": false, "oauth-dpop-allowed": false,
                "restrict-scope-client-property": "", "discovery-allowed": true}});
        let client = json!({"client_id": CLIENT, "name": "Wayhome", "confidential": true,
            "enabled": true, "client_secret": SECRET, "redirect_uri": [redirect],
            "authorization_type": ["code"], "scope": [],
            "token_endpoint_auth_method": ["client_secret_basic"]});
        let person = json!({"username": "anna", "name": "Anna", "password": PASSWORD,
            "enabled": true, "scope": ["openid", "g_profile"], "email": ""});
        for (what, object) in [("mod/plugin", plugin), ("client", client), ("user", person)] {
            let made = self
                .call("POST", &format!("/api/{what}/"), &chief, &object)
                .await;
            assert!(made.starts_with("HTTP/1.1 200"), "{what}: {made}");
        }
        Some(())
    }

    /// The person signs in where the node sent the browser to, and agrees. Gives where it is sent
    /// back to.
    pub async fn sign_in(&self, address: &str) -> String {
        let session = self.cookie("anna", PASSWORD).await;
        let agreed = json!({"scope": "openid"});
        let grant = format!("/api/auth/grant/{CLIENT}");
        self.call("PUT", &grant, &session, &agreed).await;
        let path = address.split_once(&format!(":{}", self.port)).unwrap().1;
        let sent = self
            .call("GET", &format!("{path}&g_continue"), &session, &Value::Null)
            .await;
        header(&sent, "location").unwrap_or_else(|| panic!("{sent}"))
    }

    async fn cookie(&self, name: &str, password: &str) -> String {
        let asked = json!({"username": name, "password": password});
        let answer = self.call("POST", "/api/auth/", "", &asked).await;
        let cookie = header(&answer, "set-cookie").unwrap_or_else(|| panic!("{answer}"));
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn call(&self, method: &str, path: &str, cookie: &str, object: &Value) -> String {
        let body = if object.is_null() {
            String::new()
        } else {
            object.to_string()
        };
        let port = self.port;
        let asked = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncookie: {cookie}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.expect("it does not answer").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn header(answer: &str, name: &str) -> Option<String> {
    answer
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
}

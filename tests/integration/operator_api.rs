//! The operator API as a ministry's own system uses it: a worked client in Python, the way over the
//! network, and that it does all that the console does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use wayhome::node::Directory;
use wayhome::node::config::OperatorConfig;
use wayhome::proto::operator as pb;
use wayhome::proto::operator::account_service_client::AccountServiceClient;
use wayhome::proto::operator::backup_service_client::BackupServiceClient;
use wayhome::proto::operator::log_service_client::LogServiceClient;
use wayhome::proto::operator::node_service_client::NodeServiceClient;
use wayhome::proto::operator::policy_service_client::PolicyServiceClient;

use crate::coalition::Coalition;
use crate::exchange::{ABROAD, AT_HOME};
use crate::forge::refusal;
use crate::office::{ADMINISTRATOR, Office, PASSWORD, code};
use crate::process::{Said, finish, left_out};

/// An authority, and what it has signed.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// A certificate and its key, PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// Gives a node the way over the network, from its next start on.
fn open_to_the_network(coalition: &Coalition, id: &str, authority: &Authority) {
    let directory = Directory::new(coalition.path(id));
    let (certificate, key) = authority.sign("localhost");
    directory.write("operator.crt", &certificate).unwrap();
    directory.write("operator.key", &key).unwrap();
    directory
        .write("systems.crt", &authority.certificate)
        .unwrap();
    let operator = OperatorConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate: "operator.crt".into(),
        key: "operator.key".into(),
        clients: "systems.crt".into(),
    };
    coalition.configure(id, |config| config.operator = Some(operator));
}

/// A channel to the node as a machine with a certificate, or with none.
async fn dial(
    address: SocketAddr,
    trusted: &Authority,
    own: Option<&(String, String)>,
) -> Result<Channel, tonic::transport::Error> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        }))
        .await
}

/// A call that carries a session.
fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<Ascii> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn refused(status: &Status) -> (Code, String) {
    (status.code(), refusal(status).1)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_network_a_machine_needs_a_certificate_and_a_person_a_session() {
    let mut coalition = Coalition::found(|_| {});
    let (own, foreign) = (Authority::new("ministry"), Authority::new("elsewhere"));
    open_to_the_network(&coalition, "ua", &own);
    coalition.start_node("ua").await;
    let address = coalition.operators("ua").unwrap();
    let first = wayhome::node::accounts::make_first_code(
        &Directory::new(coalition.path("ua")),
        &coalition.ambient,
    )
    .unwrap();

    // In TLS 1.3 a client hears of its refusal with the first answer.
    for stranger in [None, Some(foreign.sign("system"))] {
        let heard = match dial(address, &own, stranger.as_ref()).await {
            Err(_) => None,
            Ok(channel) => NodeServiceClient::new(channel)
                .get_status(pb::GetStatusRequest {})
                .await
                .ok(),
        };
        assert!(heard.is_none());
    }
    // The machine also looks whom it speaks to.
    let system = own.sign("system");
    assert!(dial(address, &foreign, Some(&system)).await.is_err());

    let channel = dial(address, &own, Some(&system)).await.unwrap();
    NodeServiceClient::new(channel.clone())
        .get_status(pb::GetStatusRequest {})
        .await
        .unwrap();
    // What the node's own user may without a session, nobody may from elsewhere: neither before there
    // is an account ...
    let needed = (Code::Unauthenticated, "SIGN_IN_NEEDED".to_owned());
    LogServiceClient::new(coalition.operator("ua").await)
        .get_log(pb::GetLogRequest {})
        .await
        .unwrap();
    let log = LogServiceClient::new(channel.clone())
        .get_log(pb::GetLogRequest {})
        .await
        .err()
        .unwrap();
    assert_eq!(refused(&log), needed);
    let policy = PolicyServiceClient::new(channel.clone())
        .get_policy(pb::GetPolicyRequest {})
        .await
        .err()
        .unwrap();
    assert_eq!(refused(&policy), needed);
    let backup = pb::CreateBackupRequest {
        path: coalition.path("ua").join("a.data").display().to_string(),
        keys_path: coalition.path("ua").join("a.keys").display().to_string(),
    };
    let made = BackupServiceClient::new(channel.clone())
        .create_backup(backup.clone())
        .await
        .err()
        .unwrap();
    assert_eq!(refused(&made), needed);

    // ... nor afterwards; a person may what their roles say.
    let mut accounts = AccountServiceClient::new(channel.clone());
    let claimed = accounts
        .claim_account(pb::ClaimAccountRequest {
            name: ADMINISTRATOR.to_owned(),
            code: first,
            password: PASSWORD.to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    let signed_in = accounts
        .sign_in(pb::SignInRequest {
            name: ADMINISTRATOR.to_owned(),
            password: PASSWORD.to_owned(),
            code: code(&claimed.secret, coalition.ambient.now()),
        })
        .await
        .unwrap()
        .into_inner();
    let token = &signed_in.token;
    LogServiceClient::new(channel.clone())
        .get_log(with(pb::GetLogRequest {}, token))
        .await
        .unwrap();
    let made = BackupServiceClient::new(channel.clone())
        .create_backup(with(backup.clone(), token))
        .await
        .err()
        .unwrap();
    assert_eq!(refused(&made).1, "NO_BACKUP_KEY");
    let made = BackupServiceClient::new(channel.clone())
        .create_backup(with(backup, "0000"))
        .await
        .err()
        .unwrap();
    assert_eq!(refused(&made).1, "SESSION_ENDED");

    // What a policy comes to is the same here as at the command line.
    let explained = PolicyServiceClient::new(channel)
        .explain_policy(with(
            pb::ExplainPolicyRequest {
                uncertain: true,
                ..pb::ExplainPolicyRequest::default()
            },
            token,
        ))
        .await
        .unwrap()
        .into_inner();
    let said = crate::process::run(
        &coalition.path("ua"),
        &["--json", "policy", "explain", "--uncertain"],
    )
    .await;
    let expected: Vec<(String, String)> = said.object()["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| {
            (
                field["field"].as_str().unwrap().to_owned(),
                field["decision"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let told: Vec<(String, String)> = explained
        .fields
        .into_iter()
        .map(|field| (field.field, field.decision))
        .collect();
    assert!(!told.is_empty());
    assert_eq!(told, expected);
    coalition.stop_node("ua").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_keeps_nobody_from_the_node() {
    let mut coalition = Coalition::found(|_| {});
    let authority = Authority::new("ministry");
    open_to_the_network(&coalition, "ua", &authority);
    let directory = Directory::new(coalition.path("ua"));
    let doctor = async || {
        let said = crate::process::run(directory.path(), &["--json", "doctor"]).await;
        let looks = said.object()["looks"].as_array().unwrap().clone();
        let look = looks.iter().find(|look| look["what"] == "operator API");
        (
            look.unwrap()["how"].as_str().unwrap().to_owned(),
            look.unwrap()["said"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(doctor().await.0, "good");
    directory.write("operator.key", "no key").unwrap();
    coalition.start_node("ua").await;
    assert_eq!(coalition.operators("ua"), None);
    let (how, said) = doctor().await;
    assert!(how == "wrong" && said.contains("operator.key"), "{said}");
    std::fs::remove_file(directory.file("systems.crt")).unwrap();
    let (_, key) = authority.sign("localhost");
    directory.write("operator.key", &key).unwrap();
    let (how, said) = doctor().await;
    assert!(how == "wrong" && said.contains("systems.crt"), "{said}");
}

/// A Python that has gRPC, and stubs made for it; `None`, with a word, where they are missing.
struct Python {
    program: String,
    stubs: PathBuf,
}

impl Python {
    async fn find() -> Option<Self> {
        let program = crate::process::python("grpc, google.protobuf").await?;
        let stubs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("operator-stubs");
        let mut generate = Command::new("docs/examples/generate");
        let made = finish(generate.arg(&stubs).env("PYTHON", &program)).await;
        if made.err.contains("install grpcio-tools") {
            left_out(
                "grpc_python_plugin",
                "nothing here makes stubs, so the client in Python was not run",
            );
            return None;
        }
        assert_eq!(made.code, Some(0), "{made:?}");
        Some(Self { program, stubs })
    }

    /// Runs the client.
    async fn run(&self, way: &[&str], home: &Path, who: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.program);
        command
            .arg("docs/examples/case_system.py")
            .args(way)
            .arg("--session")
            .arg(home.join(format!("{who}.session")))
            .args(arguments)
            .env("WAYHOME_STUBS", &self.stubs)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        finish(&mut command).await
    }

    /// The same, for what must succeed.
    async fn does(&self, way: &[&str], home: &Path, who: &str, arguments: &[&str]) -> Value {
        let said = self.run(way, home, who, arguments).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said.object()
    }

    /// Takes an account that an administrator made, and signs in.
    async fn join(&self, way: &[&str], home: &Path, office: &Office, who: &str, roles: &[&str]) {
        let code = office.add(who, roles).await;
        let password = home.join("password").display().to_string();
        let claim = ["claim", who, "--code", &code, "--password-file", &password];
        let claimed = self.does(way, home, who, &claim).await;
        let secret = home.join(format!("{who}.secret"));
        std::fs::write(&secret, claimed["secret"].as_str().unwrap()).unwrap();
        let secret = secret.display().to_string();
        let sign_in = [
            "sign-in",
            who,
            "--password-file",
            &password,
            "--secret-file",
            &secret,
        ];
        let signed_in = self.does(way, home, who, &sign_in).await;
        assert_eq!(signed_in["roles"].as_array().unwrap().len(), roles.len());
    }
}

fn as_json_line(fields: &[(&str, &str)]) -> String {
    let fields: BTreeMap<&str, &str> = fields.iter().copied().collect();
    format!("{}\n", serde_json::to_string(&fields).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_searches_asks_and_decides() {
    let Some(python) = Python::find().await else {
        return;
    };
    let mut coalition = Coalition::found(|_| {});
    let authority = Authority::new("ministry");
    open_to_the_network(&coalition, "ua", &authority);
    for member in crate::coalition::MEMBERS {
        coalition.start_node(member).await;
    }
    coalition.import("pl", &[ABROAD]).await;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("password"), format!("{PASSWORD}\n")).unwrap();

    // Ukraine's system is on another machine, with a certificate of its ministry.
    let (certificate, key) = authority.sign("system");
    for (name, text) in [
        ("ca.crt", &authority.certificate),
        ("system.crt", &certificate),
        ("system.key", &key),
    ] {
        std::fs::write(home.join(name), text).unwrap();
    }
    let file = |name: &str| home.join(name).display().to_string();
    let node = format!("localhost:{}", coalition.operators("ua").unwrap().port());
    let (ca, crt, key) = (file("ca.crt"), file("system.crt"), file("system.key"));
    let network = [
        "--node",
        &node,
        "--ca",
        &ca,
        "--certificate",
        &crt,
        "--key",
        &key,
    ];
    let refused = python
        .run(&network, home, "nobody", &["search", "--record", "UA-1"])
        .await;
    assert!(
        refused.code == Some(1) && refused.err.contains("SIGN_IN_NEEDED"),
        "{refused:?}"
    );
    let ua = Office::found(&coalition, "ua", &[]).await;
    python
        .join(&network, home, &ua, "worker", &["caseworker", "steward"])
        .await;
    let children = file("children.jsonl");
    std::fs::write(&children, as_json_line(AT_HOME)).unwrap();
    let came = python
        .does(&network, home, "worker", &["import", &children])
        .await;
    assert_eq!(came["added"], 1, "{came}");
    assert_eq!(came["findable"], 1, "{came}");
    let search = ["search", "--record", "UA-1", "--case", "UA-2026/0042"];
    let found = python.does(&network, home, "worker", &search).await;
    let answers = found["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 2, "{found}");
    let poland = answers.iter().find(|answer| answer["member"] == "pl");
    let poland = poland.unwrap();
    assert_eq!(poland["grade"], "MATCH", "{found}");
    let germany = answers.iter().find(|answer| answer["member"] == "de");
    assert_eq!(germany.unwrap()["grade"], "NO_MATCH", "{found}");
    let described = [
        "search",
        "--describe",
        "family_name=Ковальчук",
        "given_name=Сашко",
        "date_of_birth=2014-05-03",
        "place_of_birth=Маріуполь",
        "mother_given_name=Олена",
    ];
    let again = python.does(&network, home, "worker", &described).await;
    let grades: BTreeSet<&str> = again["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["grade"].as_str().unwrap())
        .collect();
    assert!(
        grades.contains("MATCH") || grades.contains("POSSIBLE"),
        "{again}"
    );

    let ask = [
        "ask",
        poland["leads"][0].as_str().unwrap(),
        "--fields",
        "current_place,current_carer",
        "--justification",
        "The family asks.",
    ];
    let told = python.does(&network, home, "worker", &ask).await;
    assert_eq!(told["granted"]["current_place"], "Lublin", "{told}");
    assert_eq!(told["waiting"][0], "current_carer", "{told}");

    // Poland's is on the node's own machine.
    let socket = coalition.path("pl").join("operator.sock");
    let socket = ["--socket", socket.to_str().unwrap()];
    let pl = Office::found(&coalition, "pl", &[]).await;
    for approver in ["anna", "boris"] {
        python
            .join(&socket, home, &pl, approver, &["approver"])
            .await;
    }
    let inbox = python.does(&socket, home, "anna", &["inbox"]).await;
    let waiting = &inbox["requests"][0];
    assert_eq!(waiting["member"], "ua", "{inbox}");
    assert_eq!(waiting["waiting"][0], "current_carer", "{inbox}");
    let request = waiting["request"].as_str().unwrap();
    let decide = ["decide", request, "--approve", "--yes"];
    for approver in ["anna", "boris"] {
        let said = python.run(&socket, home, approver, &decide).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        // The person saw what it is about before.
        assert!(said.err.contains("foster family 12"), "{said:?}");
        assert!(said.err.contains("The family asks."), "{said:?}");
    }
    let said = python.run(&socket, home, "anna", &decide).await;
    assert_eq!(said.code, Some(1), "{said:?}");

    let request = told["request"].as_str().unwrap();
    let told = python
        .does(&network, home, "worker", &["ask-again", request])
        .await;
    assert_eq!(
        told["granted"]["current_carer"], "foster family 12",
        "{told}"
    );
}

/// Which row of the table in docs/operator-api.md a page's file belongs to.
const PAGES: [(&str, &str); 12] = [
    ("audit", "Audit"),
    ("cases", "Cases"),
    ("home", "Home"),
    ("import", "Register"),
    ("inbox", "Requests"),
    ("members", "Members, Settings"),
    ("people", "People"),
    ("register", "Register"),
    ("review", "Review"),
    ("search", "Search"),
    ("sign_in", "Signing in"),
    ("gate", "Signing in"),
];

/// All calls of the operator API, with their services.
fn calls() -> BTreeMap<String, String> {
    let mut calls = BTreeMap::new();
    for entry in std::fs::read_dir("proto/wayhome/operator/v1").unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut service = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("service ") {
                service = name.trim_end_matches(" {").to_owned();
            }
            if let Some(call) = line.trim_start().strip_prefix("rpc ") {
                let call = call.split('(').next().unwrap();
                let before = calls.insert(call.to_owned(), format!("{service}.{call}"));
                assert_eq!(before, None, "{call} is a call of two services");
            }
        }
    }
    calls
}

/// The calls that a source file makes, by the requests that it names.
fn made(text: &str, calls: &BTreeMap<String, String>) -> BTreeSet<String> {
    text.split("pb::")
        .skip(1)
        .filter_map(|rest| {
            let name: String = rest
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            calls.get(name.strip_suffix("Request")?).cloned()
        })
        .collect()
}

#[test]
fn the_console_does_nothing_that_the_operator_api_does_not() {
    let calls = calls();
    let docs = std::fs::read_to_string("docs/operator-api.md").unwrap();
    let rows: BTreeMap<&str, BTreeSet<&str>> = docs
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells.len() == 5).then(|| (cells[1], cells[3].split('`').skip(1).step_by(2).collect()))
        })
        .collect();
    let mut wrong = Vec::new();
    // Every call of a page stands in the row of its page.
    let mut seen = 0;
    for (file, page) in PAGES {
        let path = match file {
            "gate" => "src/console/gate.rs".to_owned(),
            file => format!("src/console/pages/{file}.rs"),
        };
        for call in made(&std::fs::read_to_string(&path).unwrap(), &calls) {
            seen += 1;
            if !rows[page].contains(call.as_str()) {
                wrong.push(format!("{path} calls {call}: add it to the row {page:?}"));
            }
        }
    }
    assert!(seen > 40, "only {seen} calls were seen");
    // Every call stands in the docs, and the docs name no other.
    for call in calls.values() {
        if !docs.contains(&format!("`{call}`")) {
            wrong.push(format!("{call} stands nowhere in docs/operator-api.md"));
        }
    }
    let known: BTreeSet<&str> = calls.values().map(String::as_str).collect();
    for call in docs.split('`').skip(1).step_by(2) {
        if call.contains("Service.") && !known.contains(call) {
            wrong.push(format!("docs/operator-api.md names {call}: there is none"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the console may take of the modules below it beside the operator API: types and words, the
/// policy's own arithmetic, and its place for forms. No way to the register, the log or a peer.
const MAY_USE: [&str; 9] = [
    "crate::exchange::RemoteRefusal",
    "crate::exchange::disclose::DenialReason",
    "crate::exchange::disclose::Floor",
    "crate::exchange::policy::",
    "crate::node::Directory",
    "crate::node::InProcess",
    "crate::node::MAX_OPERATOR_MESSAGE",
    "crate::node::accounts::",
    "crate::node::config::ConsoleConfig",
];

#[test]
fn the_console_reaches_the_node_by_the_operator_api_alone() {
    let mut wrong = Vec::new();
    let mut folders = vec![PathBuf::from("src/console")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for module in ["crate::exchange::", "crate::node::"] {
                for (at, _) in text.match_indices(module) {
                    let used = &text[at..];
                    let allowed = MAY_USE.iter().any(|may| used.starts_with(may))
                        || used.starts_with("crate::node::{OperatorApi, Running}");
                    if !allowed {
                        let used: String = used.chars().take(60).collect();
                        wrong.push(format!("{}: {used}", path.display()));
                    }
                }
            }
            // Of the database, nothing but what it keeps of its own forms, and whether anybody has an
            // account.
            for rest in text.split("store").skip(1) {
                let Some(method) = rest.trim_start().strip_prefix('.') else {
                    continue;
                };
                let method: String = method
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let own = method.contains("keep") || method.contains("kept");
                if !own && !["account_count", "clone", ""].contains(&method.as_str()) {
                    wrong.push(format!("{}: store.{method}", path.display()));
                }
            }
        }
    }
    assert!(files > 20, "only {files} files were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

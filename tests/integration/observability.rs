//! What a node tells its operators of itself: enough to see how it is, and nothing of a child.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Context, Poll, Service};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use wayhome::node::otlp::wire;
use wayhome::telemetry::TraceContext;

use crate::coalition::{Coalition, MEMBERS, free_address};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::forge::{refusal, send_raw};
use crate::process;
use crate::traces::Finder;

/// Asks over plain HTTP; gives status and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

/// A collector of spans that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Service<Request<Body>> for Collector {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let taken = Arc::clone(&self.taken);
        Box::pin(async move {
            use http_body_util::BodyExt as _;
            let body = request.into_body().collect().await.unwrap().to_bytes();
            // Past the flag and the length of a gRPC message.
            taken.lock().unwrap().push(body[5..].to_vec());
            let empty = http_body_util::Full::new(tonic::codegen::Bytes::from_static(&[0; 5]));
            let trailers = tonic::Status::ok("");
            let mut response = Response::new(Body::new(empty));
            let headers = response.headers_mut();
            headers.insert("content-type", "application/grpc".parse().unwrap());
            trailers.add_header(headers).unwrap();
            Ok(response)
        })
    }
}

impl tonic::server::NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Collector {
    async fn listen() -> (Self, SocketAddr) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(collector.clone());
        tokio::spawn(server.serve_with_incoming(incoming));
        (collector, address)
    }

    /// What was sent by now: the member, and its spans.
    fn spans(&self) -> Vec<(String, wire::SpanData)> {
        let mut spans = Vec::new();
        for octets in self.taken.lock().unwrap().iter() {
            for sent in wire::ExportRequest::decode(octets.as_slice())
                .unwrap()
                .resource_spans
            {
                let member = attribute(&sent.resource.unwrap().attributes, "service.instance.id");
                for scope in sent.scope_spans {
                    spans.extend(scope.spans.into_iter().map(|span| (member.clone(), span)));
                }
            }
        }
        spans
    }
}

fn attribute(attributes: &[wire::KeyValue], key: &str) -> String {
    attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .and_then(|attribute| attribute.value.clone()?.string_value)
        .unwrap_or_default()
}

/// A running coalition whose nodes serve metrics and send spans.
struct Scene {
    coalition: Coalition,
    collector: Collector,
    metrics: BTreeMap<&'static str, SocketAddr>,
}

async fn scene() -> Scene {
    let mut coalition = Coalition::found(|_| {});
    let (collector, otlp) = Collector::listen().await;
    let metrics: BTreeMap<_, _> = MEMBERS.iter().map(|id| (*id, free_address())).collect();
    for (id, address) in &metrics {
        coalition.configure(id, |config| {
            config.telemetry.metrics = Some(*address);
            config.telemetry.otlp = Some(otlp);
        });
    }
    for id in MEMBERS {
        coalition.start_node(id).await;
    }
    Scene {
        coalition,
        collector,
        metrics,
    }
}

impl Scene {
    /// A search that finds a child, from `ua`.
    async fn find(&self) {
        self.coalition.import("ua", &[AT_HOME]).await;
        self.coalition.import("pl", &[ABROAD]).await;
        let answers = search(&self.coalition, "ua", "UA-1").await;
        assert_eq!(answers.len(), 2);
    }

    /// Waits until spans show this.
    async fn shown<T>(&self, look: impl Fn(&[(String, wire::SpanData)]) -> Option<T>) -> T {
        let shown = async {
            loop {
                if let Some(found) = look(&self.collector.spans()) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), shown)
            .await
            .expect("the spans did not come")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_spans_show_the_work_and_nothing_of_the_child() {
    let scene = scene().await;
    scene.find().await;
    // A refusal as well: what a hostile peer writes must not show either.
    let channel = scene.coalition.channel("de", "pl").await;
    let refused = send_raw(
        &channel,
        "/Kowalczuk.Aleksander/Lublin",
        b"Kowalczuk".to_vec(),
    )
    .await;
    assert_eq!(refusal(&refused.unwrap_err()).1, "UNKNOWN_CALL");

    let texts: BTreeMap<&str, String> = {
        let mut texts = BTreeMap::new();
        for (id, address) in &scene.metrics {
            let (status, text) = get(*address, "/metrics").await;
            assert_eq!(status, 200);
            assert!(text.ends_with("# EOF\n"), "{text}");
            texts.insert(*id, text);
        }
        texts
    };
    let says = |id: &str, line: &str| {
        assert!(
            texts[id].lines().any(|said| said.starts_with(line)),
            "{id}: {line}\n{}",
            texts[id]
        );
    };
    says(
        "pl",
        "wayhome_calls_total{method=\"LookupService/Lookup\",code=\"OK\"} 1",
    );
    says(
        "pl",
        "wayhome_calls_total{method=\"other\",code=\"UNKNOWN_CALL\"} 1",
    );
    says(
        "pl",
        "wayhome_call_seconds_count{method=\"LookupService/Lookup\"} 1",
    );
    says(
        "ua",
        "wayhome_peer_calls_total{peer=\"pl\",method=\"LookupService/Lookup\",code=\"OK\"} 1",
    );
    says("ua", "wayhome_records 1");
    says("pl", "wayhome_index_records 1");
    says("pl", "wayhome_roster_version 1");
    says("pl", "wayhome_handshakes_total{outcome=\"accepted\"}");
    says(
        "pl",
        "wayhome_key_exchanges_total{group=\"X25519MLKEM768\"}",
    );
    for id in MEMBERS {
        says(id, "wayhome_build_info{version=");
        let leaves = texts[id]
            .lines()
            .find_map(|line| line.strip_prefix("wayhome_log_leaves "))
            .unwrap();
        assert_eq!(
            leaves.parse::<u64>().unwrap(),
            scene.coalition.log_size(id).await,
            "{id}"
        );
    }

    scene
        .shown(|spans| {
            let lookup = |span: &&(String, wire::SpanData)| span.1.name == "LookupService/Lookup";
            (spans.iter().filter(lookup).count() >= 4).then_some(())
        })
        .await;
    let values: BTreeSet<&str> = AT_HOME
        .iter()
        .chain(ABROAD)
        .filter(|(name, _)| !matches!(*name, "sex" | "consent"))
        .map(|(_, value)| *value)
        .chain(["CASE-1", "Kowalczuk.Aleksander"])
        .collect();
    let finder = Finder::new(values.iter().copied());
    for (id, text) in &texts {
        assert_eq!(finder.find(text.as_bytes()), [], "{id}");
    }
    let sent = scene.collector.taken.lock().unwrap().concat();
    assert_eq!(finder.find(&sent), []);
    // The search does see what is there.
    let planted = [sent.as_slice(), "Ковальчук".as_bytes()].concat();
    assert_eq!(finder.find(&planted).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_known_to_the_two_parties_of_a_call_and_to_nobody_else() {
    let scene = scene().await;
    scene.find().await;
    const LOOKUP: &str = "LookupService/Lookup";
    let spans = scene
        .shown(|spans| {
            let lookups: Vec<_> = spans
                .iter()
                .filter(|(_, span)| span.name == LOOKUP)
                .cloned()
                .collect();
            (lookups.len() == 4).then_some(lookups)
        })
        .await;
    let asked: BTreeMap<String, &wire::SpanData> = spans
        .iter()
        .filter(|(member, span)| member == "ua" && span.kind == 3)
        .map(|(_, span)| (attribute(&span.attributes, "wayhome.peer"), span))
        .collect();
    let answered: BTreeMap<&str, &wire::SpanData> = spans
        .iter()
        .filter(|(_, span)| span.kind == 2)
        .map(|(member, span)| (member.as_str(), span))
        .collect();
    let mut told = BTreeSet::new();
    for holder in ["pl", "de"] {
        let trace = hex::encode(&answered[holder].trace_id);
        assert_eq!(
            attribute(&asked[holder].attributes, "wayhome.peer_trace"),
            trace
        );
        assert_eq!(
            attribute(&answered[holder].attributes, "wayhome.peer"),
            "ua"
        );
        assert!(asked[holder].end > asked[holder].start);
        // The asking node alone knows that both belong to one search.
        assert_eq!(asked[holder].trace_id, asked["pl"].trace_id);
        assert_ne!(asked[holder].trace_id, answered[holder].trace_id);
        told.insert(trace);
    }
    assert_eq!(
        told.len(),
        2,
        "two holders could put their queries together"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_is_gone_on_with() {
    let scene = scene().await;
    let context = TraceContext::begin(&scene.coalition.ambient);
    let channel = scene.coalition.channel("ua", "pl").await;
    let mut request = tonic::Request::new(wayhome::proto::exchange::GetRosterRequest {
        root_version: 1,
        roster_version: 1,
        roster_root_version: 1,
    });
    let header = context.to_header().parse().unwrap();
    request.metadata_mut().insert("traceparent", header);
    wayhome::proto::exchange::roster_service_client::RosterServiceClient::new(channel)
        .get_roster(request)
        .await
        .unwrap();
    let span = scene
        .shown(|spans| {
            spans
                .iter()
                .find(|(_, span)| span.trace_id == context.trace())
                .cloned()
        })
        .await;
    assert_eq!(span.0, "pl");
    assert_eq!(span.1.parent_span_id, context.span());
    assert_eq!(span.1.name, "RosterService/GetRoster");
}

/// How a service is, once the node says anything of it.
async fn health(
    client: &mut HealthClient<tonic::transport::Channel>,
    service: &str,
) -> ServingStatus {
    let telling = async {
        loop {
            let service = service.to_owned();
            if let Ok(told) = client.check(HealthCheckRequest { service }).await {
                return told.into_inner().status();
            }
        }
    };
    tokio::time::timeout(process::PATIENCE, telling)
        .await
        .expect("nothing is told of it")
}

/// Waits until a service is served.
async fn serves(client: &mut HealthClient<tonic::transport::Channel>, service: &str) {
    let serving = async { while health(client, service).await != ServingStatus::Serving {} };
    tokio::time::timeout(process::PATIENCE, serving)
        .await
        .expect("it is not served");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_by_service_and_readiness_with_its_reason() {
    let mut coalition = Coalition::found(|_| {});
    let address = free_address();
    coalition.configure("pl", |config| {
        config.telemetry.metrics = Some(address);
    });
    coalition.start_node("pl").await;
    let channel = coalition.channel("ua", "pl").await;
    let mut client = HealthClient::new(channel);
    for service in [
        "",
        "wayhome.exchange.v1.LookupService",
        "wayhome.exchange.v1.TokenService",
    ] {
        serves(&mut client, service).await;
    }
    let service = "wayhome.exchange.v1.NoService".to_owned();
    let unknown = client.check(HealthCheckRequest { service }).await;
    let unknown = unknown.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    assert_eq!(get(address, "/ready").await.0, 200);
    assert_eq!(get(address, "/live").await, (200, "alive\n".to_owned()));
    assert_eq!(get(address, "/else").await.0, 404);

    // A share that is lost leaves a member that evaluates nothing, and does the rest.
    coalition.stop_node("pl").await;
    for entry in std::fs::read_dir(coalition.path("pl").join("keys")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "sealed")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    coalition.start_node("pl").await;
    let channel = coalition.channel("ua", "pl").await;
    let mut client = HealthClient::new(channel);
    serves(&mut client, "wayhome.exchange.v1.LookupService").await;
    let tokens = health(&mut client, "wayhome.exchange.v1.TokenService").await;
    assert_eq!(tokens, ServingStatus::NotServing);
    let rosters = health(&mut client, "wayhome.exchange.v1.RosterService").await;
    assert_eq!(rosters, ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_roster_says_so_over_http() {
    let mut coalition = Coalition::found(|_| {});
    let address = free_address();
    coalition.configure("pl", |config| {
        config.telemetry.metrics = Some(address);
    });
    std::fs::remove_file(coalition.path("pl").join("roster.note")).unwrap();
    coalition.start_node("pl").await;
    let (status, body) = get(address, "/ready").await;
    assert_eq!(status, 503);
    let object: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(object["ready"], false);
    assert_eq!(object["not_ready"][0]["code"], "NO_ROSTER", "{object}");
}

#[tokio::test]
async fn nobody_elses_machine_is_told_how_often_whom_this_node_asks() {
    let coalition = Coalition::found(|_| {});
    for section in ["metrics = \"0.0.0.0:9464\"", "otlp = \"192.0.2.7:4317\""] {
        let directory = coalition.path("pl");
        let text = std::fs::read_to_string(directory.join("node.toml")).unwrap();
        std::fs::write(
            directory.join("node.toml"),
            format!("{text}\n[telemetry]\n{section}\n"),
        )
        .unwrap();
        let said = process::run(&directory, &["--json", "run"]).await;
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains("loopback"), "{said:?}");
        std::fs::write(directory.join("node.toml"), text).unwrap();
    }
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let source = std::fs::read_to_string("src/telemetry/meters.rs").unwrap();
    let made: BTreeSet<&str> = source
        .split("made!(")
        .skip(1)
        .filter_map(|after| after.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(made.len() >= 20, "{made:?}");
    let named = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let names: BTreeSet<String> = text
            .match_indices("wayhome_")
            .map(|(at, prefix)| {
                text[at + prefix.len()..]
                    .chars()
                    .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
                    .collect()
            })
            .collect();
        names
    };
    let mut used = BTreeSet::new();
    for file in ["alerts.yaml", "alerts.test.yaml", "dashboard.json"] {
        let names = named(&Path::new("deploy/monitoring").join(file));
        assert!(names.len() >= 4, "{file}: {names:?}");
        for name in names {
            let base = ["_total", "_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(&name)
                .to_owned();
            assert!(
                made.contains(base.as_str()),
                "{file} names wayhome_{name}, which there is not"
            );
            used.insert(base);
        }
    }
    // And the other way round: nothing is counted that nobody looks at.
    let unseen: Vec<_> = made.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

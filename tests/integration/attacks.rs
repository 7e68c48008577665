//! What one party, or nobody in particular, can do to a node's machine: it goes on serving the others,
//! in bounded memory. In a run at length, about as fast as before.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tonic::Code;
use wayhome::proto::exchange as pb;

use crate::coalition::{Coalition, for_load, free_address};
use crate::forge::{Sent, lookup, refusal};
use crate::process::{NodeProcess, PATIENCE, at_length, comes, scaled};
use crate::tls::held_open;

/// Lookups of an honest member by which a node is measured; ten times as many at length.
const SAMPLES: usize = 30;

/// How much a node may grow under attack.
const GROWTH: u64 = 192 << 20;

struct Scene {
    coalition: Coalition,
    node: NodeProcess,
    listen: SocketAddr,
    metrics: SocketAddr,
    before: Measured,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    slow: Duration,
    resident: u64,
}

/// A node of `pl` in a process of its own, measured in peace.
async fn scene() -> Scene {
    let coalition = Coalition::found(for_load);
    let metrics = free_address();
    let listen = coalition.configure("pl", |config| {
        config.telemetry.metrics = Some(metrics);
        config.listen
    });
    let node = NodeProcess::start(&coalition.path("pl")).await;
    let mut scene = Scene {
        coalition,
        node,
        listen,
        metrics,
        before: Measured {
            slow: Duration::ZERO,
            resident: 0,
        },
    };
    // Once to be warm, once to be measured.
    scene.measure().await;
    scene.before = scene.measure().await;
    scene
}

impl Scene {
    /// How an honest member fares now, and how large the node is. Each of its calls is answered.
    async fn measure(&self) -> Measured {
        let channel = self.coalition.channel("ua", "pl").await;
        let mut took = Vec::new();
        let samples = SAMPLES * if at_length() { 10 } else { 1 };
        for _ in 0..samples {
            let query = lookup(&self.coalition, "ua", "pl", 1).sign();
            let began = now();
            pb::LookupQuery::send(channel.clone(), query).await.unwrap();
            took.push(began.elapsed());
        }
        took.sort();
        Measured {
            // The slowest of a hundred.
            slow: took[samples - 1 - samples / 100],
            resident: self.node.resident(),
        }
    }

    /// Holds what is so under attack against what was so in peace.
    async fn holds(&self) {
        let under = self.measure().await;
        let before = self.before;
        println!("{under:?}, before {before:?}");
        if at_length() {
            let allowed = before.slow * 2;
            assert!(under.slow <= allowed, "{under:?}, before {before:?}");
        }
        assert!(
            under.resident <= before.resident + GROWTH,
            "{under:?}, before {before:?}"
        );
    }

    /// A figure of the node's metrics, all labels together.
    async fn counted(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.metrics).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is the machine's own time"
)]
fn now() -> Instant {
    Instant::now()
}

/// Connects from another address of this machine than the honest members do.
async fn from_elsewhere(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse().unwrap())?;
    socket.connect(to).await
}

const FLOOD: usize = 10_000;

/// How many of the flood's connections are held open at this end; what the node does with them is its
/// business.
const HELD: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_keep_no_member_out() {
    let scene = scene().await;
    let flood = scaled(FLOOD);
    let mut held = VecDeque::new();
    let mut opened = 0;
    while opened < flood {
        match from_elsewhere(scene.listen).await {
            Ok(stream) => {
                opened += 1;
                held.push_back(stream);
            }
            // Too many at this end, or a queue that is full: the flood goes on.
            Err(_) => tokio::task::yield_now().await,
        }
        if held.len() > HELD {
            held.pop_front();
        }
        if opened == flood / 2 {
            scene.holds().await;
        }
    }
    scene.holds().await;
    drop(held);
    // They were there, and those beyond an address's share were closed unheard.
    comes("the flood", async || {
        scene.counted("wayhome_handshakes_total").await >= flood as u64
    })
    .await;
    let crowded = scene
        .counted("wayhome_handshakes_total{outcome=\"crowded\"}")
        .await;
    assert!(crowded > 0);
    assert!(scene.node.stop().await.success());
}

/// Frames of HTTP/2 (RFC 9113), as a client of one's own making writes them.
mod frame {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const GOAWAY: u8 = 7;
    pub const CONTINUATION: u8 = 9;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;

    pub fn of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    /// A literal header without a place in the table (RFC 7541, section 6.2.2), by an indexed name or
    /// its own.
    fn literal(name: Result<u8, &str>, value: &str) -> Vec<u8> {
        let mut octets = Vec::new();
        match name {
            Ok(index @ 0..15) => octets.push(index),
            // An index that does not fit four bits goes on in the next octet.
            Ok(index) => octets.extend([15, index - 15]),
            Err(name) => {
                octets.extend([0, name.len() as u8]);
                octets.extend(name.as_bytes());
            }
        }
        octets.push(value.len() as u8);
        octets.extend(value.as_bytes());
        octets
    }

    /// The headers of a gRPC call, with others after them.
    pub fn call(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        // :method POST and :scheme http stand in the static table.
        let mut block = vec![0x83, 0x86];
        block.extend(literal(Ok(4), path));
        block.extend(literal(Ok(1), "pl"));
        block.extend(literal(Ok(31), "application/grpc"));
        block.extend(literal(Err("te"), "trailers"));
        for (name, value) in more {
            block.extend(literal(Err(name), value));
        }
        block
    }

    /// A gRPC message that has nothing in it.
    pub const EMPTY: [u8; 5] = [0; 5];
}

const ROSTER: &str = "/wayhome.exchange.v1.RosterService/GetRoster";

/// Reads frames until the connection ends or one of this kind comes; gives its payload.
async fn await_frame(stream: &mut (impl AsyncRead + Unpin), kind: u8) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.ok()?;
        if head[3] == kind {
            return Some(payload);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let scene = scene().await;
    let (connections, mut ends) = (scaled(5), 0);
    for _ in 0..connections {
        let mut stream = held_open(&scene.coalition, "de", "pl").await;
        let cancel = 8_u32.to_be_bytes();
        let mut sent = 0;
        for number in 0..10_000_u32 {
            let id = 2 * number + 1;
            let opened = frame::of(
                frame::HEADERS,
                frame::END_HEADERS,
                id,
                &frame::call(ROSTER, &[]),
            );
            let reset = frame::of(frame::RST_STREAM, 0, id, &cancel);
            if stream.write_all(&[opened, reset].concat()).await.is_err() {
                break;
            }
            sent += 1;
        }
        let _ = stream.flush().await;
        // ENHANCE_YOUR_CALM, or an end without a word because it was still sending.
        let told = tokio::time::timeout(PATIENCE, await_frame(&mut stream, frame::GOAWAY))
            .await
            .expect("the connection goes on");
        if let Some(goaway) = told {
            assert_eq!(goaway[4..8], 11_u32.to_be_bytes(), "after {sent}");
        }
        ends += 1;
    }
    assert_eq!(ends, connections);
    scene.holds().await;
    assert!(scene.node.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_up_its_own_calls_alone() {
    let scene = scene().await;
    // A window of no octet: no answer can be sent. Streams as many as the node lets be open.
    let mut connections = Vec::new();
    for _ in 0..4 {
        let mut stream = held_open(&scene.coalition, "de", "pl").await;
        let window = [&4_u16.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
        let mut octets = frame::of(frame::SETTINGS, 0, 0, &window);
        for number in 0..64_u32 {
            let id = 2 * number + 1;
            let head = frame::call(ROSTER, &[]);
            octets.extend(frame::of(frame::HEADERS, frame::END_HEADERS, id, &head));
            octets.extend(frame::of(frame::DATA, frame::END_STREAM, id, &frame::EMPTY));
        }
        stream.write_all(&octets).await.unwrap();
        connections.push(stream);
    }
    // They are all being held: half have their place, the others wait in their own line.
    comes("the holding of the calls", async || {
        scene.counted("wayhome_calls_in_flight ").await >= 256
    })
    .await;
    scene.holds().await;
    // Letting go of the connections frees everything.
    drop(connections);
    comes("the freeing of all places", async || {
        scene.counted("wayhome_calls_in_flight ").await == 0
    })
    .await;
    assert!(scene.node.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn giant_and_endless_messages_are_ended_at_the_limit() {
    let scene = scene().await;
    let mut stream = held_open(&scene.coalition, "de", "pl").await;
    let head = frame::call("/wayhome.exchange.v1.LookupService/Lookup", &[]);
    let mut octets = frame::of(frame::HEADERS, frame::END_HEADERS, 1, &head);
    // Four gibibytes are announced, and octets come until somebody says stop.
    octets.extend(frame::of(frame::DATA, 0, 1, &[0, 0xff, 0xff, 0xff, 0xff]));
    stream.write_all(&octets).await.unwrap();
    let piece = frame::of(frame::DATA, 0, 1, &[0; 16_000]);
    let (mut reading, mut writing) = tokio::io::split(stream);
    // Within the window of the stream: more may not be sent before it is said.
    let sending = async {
        for _ in 0..60 {
            if writing.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    let reading = tokio::time::timeout(PATIENCE, await_frame(&mut reading, frame::HEADERS));
    let (refused, ()) = tokio::join!(reading, sending);
    // It says what is too large, or lets go of the connection; it does not wait for the rest.
    refused.expect("the node waited for the rest");
    scene.holds().await;
    assert!(scene.node.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_an_end_and_packed_messages_are_refused() {
    let scene = scene().await;
    // A header block of many times the limit, in pieces.
    let mut stream = held_open(&scene.coalition, "de", "pl").await;
    let name = "x".repeat(100);
    let value = "y".repeat(100);
    let piece: Vec<u8> = frame::call(ROSTER, &[(name.as_str(), value.as_str()); 60]);
    let mut octets = frame::of(frame::HEADERS, frame::END_STREAM, 1, &piece);
    for _ in 0..400 {
        let more = piece[frame::call(ROSTER, &[]).len()..].to_vec();
        octets.extend(frame::of(frame::CONTINUATION, 0, 1, &more));
    }
    // It may be cut off while it still sends.
    let _ = stream.write_all(&octets).await;
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("headers are taken without an end");
    scene.holds().await;

    // A message said to be packed: nothing is ever unpacked, so nothing can burst.
    let channel = scene.coalition.channel("de", "pl").await;
    let client = pb::lookup_service_client::LookupServiceClient::new(channel);
    let mut request = tonic::Request::new(pb::LookupRequest { message: None });
    let packed = "gzip".parse().unwrap();
    request.metadata_mut().insert("grpc-encoding", packed);
    let refused = client.clone().lookup(request).await.err().unwrap();
    assert!(
        [Code::Unimplemented, Code::InvalidArgument].contains(&refused.code()),
        "{refused:?}"
    );
    assert!(!refusal(&refused).1.is_empty());
    assert!(scene.node.stop().await.success());
}

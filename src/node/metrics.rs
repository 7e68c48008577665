//! Metrics and readiness over plain HTTP on the loopback, for a collector on the same machine.
//!
//! ```text
//! GET /metrics   OpenMetrics text
//! GET /ready     200 if the node answers its peers, else 503; why, as JSON
//! GET /live      200 while the process works at all
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tonic::codegen::Bytes;
use tonic::codegen::http::{Method, Request, Response, StatusCode, header};

use super::readiness::not_ready;
use crate::exchange::{Party, quota};
use crate::telemetry::{Meters, QuotaLabels};

/// How many may ask at once.
const READERS: usize = 16;

/// How long one reader is given.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers until the node stops.
pub async fn serve(listener: TcpListener, party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    let readers = Arc::new(Semaphore::new(READERS));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a reader of metrics could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&readers).try_acquire_owned() else {
            continue;
        };
        let (builder, party, stopped) = (builder.clone(), Arc::clone(&party), stopped.clone());
        tokio::spawn(async move {
            let service = tower::service_fn(move |request: Request<_>| {
                let (party, stopping) = (Arc::clone(&party), *stopped.borrow());
                async move {
                    let answer = answer(&party, stopping, request.method(), request.uri().path());
                    Ok::<_, Infallible>(answer.await)
                }
            });
            let serving =
                builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            let _ = tokio::time::timeout(PATIENCE, serving).await;
            drop(place);
        });
    }
}

async fn answer(
    party: &Party,
    stopping: bool,
    method: &Method,
    path: &str,
) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new());
    }
    match path {
        "/metrics" => {
            collect(party).await;
            let rendered = party.telemetry().meters.render();
            text(StatusCode::OK, Meters::CONTENT_TYPE, rendered)
        }
        "/ready" => {
            let reasons = not_ready(party, stopping).await;
            let status = if reasons.is_empty() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let reasons: Vec<_> = reasons
                .iter()
                .map(|reason| serde_json::json!({"code": reason.code, "reason": reason.reason}))
                .collect();
            let object = serde_json::json!({"ready": reasons.is_empty(), "not_ready": reasons});
            text(status, "application/json", format!("{object}\n"))
        }
        "/live" => text(StatusCode::OK, "text/plain", "alive\n".to_owned()),
        _ => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there are /metrics, /ready and /live\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}

/// Brings the gauges up to what holds now. What the database does not say stays as it was.
async fn collect(party: &Party) {
    let meters = &party.telemetry().meters;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let store = party.store();
    let roster = party.roster().ok();
    meters.roster_version.set(
        roster
            .as_ref()
            .map_or(0, |roster| i64::from(roster.version())),
    );
    if let Some(known) = party.known_roster() {
        let expires = known.roster().expires.unix();
        meters.roster_expires_timestamp_seconds.set(number(expires));
    }
    let epoch = roster
        .as_ref()
        .and_then(|roster| roster.coalition_key())
        .map_or(0, |key| key.epoch as u32);
    meters.key_epoch.set(i64::from(epoch));
    if let Ok(Some((leaves, _))) = store.checkpoint().await {
        meters.log_leaves.set(number(leaves));
    }
    if let Ok(records) = store.record_total().await {
        meters.records.set(number(records));
    }
    if let Ok((records, tokens)) = store.index_size(epoch).await {
        meters.index_records.set(number(records));
        meters.index_tokens.set(number(tokens));
    }
    if let Ok(alerts) = store.open_alerts().await {
        meters.open_alerts.set(number(alerts));
    }
    for (peer, named, used) in party.own_use() {
        // A peer states the name: only known ones are repeated.
        let Some(quota) = quota::WATCHED.into_iter().find(|quota| *quota == named) else {
            continue;
        };
        let peer = peer.to_string();
        meters
            .own_quota_used_ratio
            .get_or_create_owned(&QuotaLabels { peer, quota })
            .set(used.used as f64 / used.limit.max(1) as f64);
    }
    process(meters);
}

/// What Linux says of this process; elsewhere the gauges stay at 0.
fn process(meters: &Meters) {
    let pages = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = pages.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .split_whitespace()
            .next()?
            .parse::<i64>()
            .ok()
    });
    if let Some(kibibytes) = resident {
        meters.process_resident_memory_bytes.set(kibibytes * 1024);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        meters
            .process_open_fds
            .set(i64::try_from(open.count()).unwrap_or(i64::MAX));
    }
}

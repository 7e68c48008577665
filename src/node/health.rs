//! How the node is, for who asks: gRPC health by service, the service manager, the gauges.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::pause::pause;
use super::readiness::{NotReady, not_ready};
use super::serve::Exchange;
use super::supervisor::Supervisor;
use crate::audit::AuditServer;
use crate::exchange::Party;
use crate::proto::exchange::audit_service_server::AuditServiceServer;
use crate::proto::exchange::disclosure_service_server::DisclosureServiceServer;
use crate::proto::exchange::lookup_service_server::LookupServiceServer;
use crate::proto::exchange::roster_service_server::RosterServiceServer;
use crate::proto::exchange::token_service_server::TokenServiceServer;
use crate::telemetry::ReasonLabels;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);

const TOKENS: &str = <TokenServiceServer<Exchange> as NamedService>::NAME;
const LOOKUPS: &str = <LookupServiceServer<Exchange> as NamedService>::NAME;
const DISCLOSURES: &str = <DisclosureServiceServer<Exchange> as NamedService>::NAME;
const ROSTERS: &str = <RosterServiceServer<Exchange> as NamedService>::NAME;
const AUDITS: &str =
    <AuditServiceServer<AuditServer<fn(&tonic::Extensions) -> Option<[u8; 32]>>> as NamedService>::NAME;

/// The services whose health is told; the first is the node as a whole.
const SERVICES: [&str; 6] = ["", TOKENS, LOOKUPS, DISCLOSURES, ROSTERS, AUDITS];

/// Looks again and again how the node is, until it stops, and tells those who ask.
pub async fn watch(
    party: Arc<Party>,
    mut reporter: HealthReporter,
    supervisor: Arc<Supervisor>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut told = None;
    loop {
        let reasons = not_ready(&party, false).await;
        show(&party, &reporter, &reasons).await;
        if told.as_ref() != Some(&reasons) {
            if told.is_some() || !reasons.is_empty() {
                supervisor.status(&line(&reasons));
            }
            told = Some(reasons);
        }
        if !pause(EVERY, &mut stopped).await {
            break;
        }
    }
    // Who watches is told that it ends; an open watch would hold up the stop.
    party.telemetry().meters.ready.set(0);
    for service in SERVICES {
        reporter
            .set_service_status(service, ServingStatus::NotServing)
            .await;
        reporter.clear_service_status(service).await;
    }
}

async fn show(party: &Party, reporter: &HealthReporter, reasons: &[NotReady]) {
    let meters = &party.telemetry().meters;
    meters.ready.set(i64::from(reasons.is_empty()));
    for reason in ["NO_ROSTER", "LOG_NOT_SIGNED", "DATABASE"] {
        let holds = reasons.iter().any(|known| known.code == reason);
        meters
            .not_ready
            .get_or_create_owned(&ReasonLabels { reason })
            .set(i64::from(holds));
    }
    let holds_share = party
        .roster()
        .ok()
        .and_then(|roster| party.coalition_key(&roster, None).ok())
        .is_some_and(|key| party.share_of(&key).is_some());
    for service in SERVICES {
        let serves = match service {
            // Newer rosters are given even by a node that can do nothing else.
            ROSTERS => true,
            TOKENS => reasons.is_empty() && holds_share,
            _ => reasons.is_empty(),
        };
        let status = if serves {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status(service, status).await;
    }
}

fn line(reasons: &[NotReady]) -> String {
    if reasons.is_empty() {
        return "Answering peers".to_owned();
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|reason| format!("{}: {}", reason.code, reason.reason))
        .collect();
    format!("Not answering peers. {}", reasons.join("; "))
}

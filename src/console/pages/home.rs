//! What waits, and how the node is.

use std::sync::Arc;

use crate::console::forms::{At, ReadPage};
use crate::console::gate::Visit;
use crate::console::pages::audit::{activity, over_time};
use crate::console::pages::inbox::open;
use crate::console::problem::Problem;
use crate::console::view::{Block, Cell, Figure, Page, Table, Tone};
use crate::console::{Console, lock, words};
use crate::exchange::RemoteRefusal;
use crate::node::InProcess;
use crate::proto::operator as pb;
use crate::proto::operator::log_service_client::LogServiceClient;
use crate::proto::operator::membership_service_client::MembershipServiceClient;
use crate::proto::operator::node_service_client::NodeServiceClient;
use crate::proto::operator::protection_service_client::ProtectionServiceClient;
use crate::proto::operator::quota_service_client::QuotaServiceClient;

/// How old the last look at the other members may be before they are looked at again, in
/// milliseconds.
const LOOK_MS: u64 = 60_000;

/// How old what was counted may be, in milliseconds.
const COUNTED_MS: u64 = 30_000;

/// Which other members answered when they were asked last.
#[derive(Default)]
pub struct Reached {
    /// When, in milliseconds since 1970; 0 for never.
    pub at_ms: u64,
    /// Each member, and the code of what came of it.
    pub members: Vec<(String, String, String)>,
    /// Whether they are being asked.
    pub asking: bool,
}

/// Whether a member was reached, by the code of what came of asking it.
#[must_use]
pub fn is_reached(code: &str) -> bool {
    matches!(code, "UPDATED" | "UNCHANGED")
}

/// Asks every other member whether it can be reached, and keeps what came of it.
///
/// # Errors
/// What the node says.
pub async fn look(console: &Arc<Console>, api: InProcess) -> Result<(), Problem> {
    let offers = MembershipServiceClient::new(api)
        .ask_peers(pb::AskPeersRequest {})
        .await;
    let at_ms = console.ambient.now_ms();
    let mut reached = lock(&console.reached);
    reached.asking = false;
    let offers = offers?.into_inner().offers;
    reached.at_ms = at_ms;
    reached.members = offers
        .into_iter()
        .map(|offer| (offer.source, offer.code, offer.message))
        .collect();
    Ok(())
}

/// Has the members asked beside the page, if that was not done a moment ago.
fn look_beside(visit: &Visit) {
    {
        let mut reached = lock(&visit.console.reached);
        if reached.asking || visit.now_ms() < reached.at_ms + LOOK_MS {
            return;
        }
        reached.asking = true;
    }
    let (console, api) = (Arc::clone(&visit.console), visit.api());
    tokio::spawn(async move {
        if let Err(problem) = look(&console, api).await {
            tracing::warn!(?problem, "the members could not be asked");
        }
    });
}

/// How the node was when it was asked last: counting a large index takes long, so pages show what is
/// at most half a minute old.
#[derive(Default)]
pub struct Counted {
    at_ms: u64,
    status: Option<pb::GetStatusResponse>,
    counting: bool,
}

/// How the node is.
///
/// # Errors
/// What the node says.
pub async fn node_status(visit: &Visit) -> Result<pb::GetStatusResponse, Problem> {
    let console = &visit.console;
    let (known, stale) = {
        let mut counted = lock(&console.counted);
        let stale = visit.now_ms() >= counted.at_ms + COUNTED_MS && !counted.counting;
        counted.counting |= stale;
        (counted.status.clone(), stale)
    };
    match known {
        Some(status) => {
            if stale {
                let (console, api) = (Arc::clone(console), visit.api());
                tokio::spawn(async move {
                    if let Err(problem) = count(&console, api).await {
                        tracing::warn!(?problem, "the node could not be asked how it is");
                    }
                });
            }
            Ok(status)
        }
        None => count(console, visit.api()).await,
    }
}

/// Has the node say how it is, and who the parties are.
///
/// # Errors
/// What the node says.
pub async fn count(console: &Console, api: InProcess) -> Result<pb::GetStatusResponse, Problem> {
    let status = NodeServiceClient::new(api.clone())
        .get_status(pb::GetStatusRequest {})
        .await;
    if let Ok(membership) = MembershipServiceClient::new(api)
        .get_membership(pb::GetMembershipRequest {})
        .await
    {
        *lock(&console.parties) = membership
            .into_inner()
            .parties
            .into_iter()
            .map(|party| (party.id, party.name))
            .collect();
    }
    let at_ms = console.ambient.now_ms();
    let mut counted = lock(&console.counted);
    counted.counting = false;
    let status = status?.into_inner();
    counted.at_ms = at_ms;
    counted.status = Some(status.clone());
    Ok(status)
}

/// The first page.
pub struct Home;

impl ReadPage for Home {
    const PATH: &'static str = "/";

    async fn show(visit: &Visit, _at: &At) -> Result<Page, Problem> {
        look_beside(visit);
        let status = node_status(visit).await?;
        let log = LogServiceClient::new(visit.api())
            .get_log(pb::GetLogRequest {})
            .await?
            .into_inner();
        let mut page = Page::new("home", visit.text("home-title"));
        let waiting = waiting(visit).await?;
        page = match waiting.is_empty() {
            true => page.text(visit.text("home-nothing")),
            false => page.with(Block::Figures(waiting)),
        };
        page = page
            .heading(visit.text("home-node"))
            .summary(node(visit, &status, &log));
        page = page.with(quotas(visit).await?);
        let days = activity(visit).await?;
        for picture in over_time(visit, &days) {
            page = page.with(picture);
        }
        Ok(page)
    }
}

async fn waiting(visit: &Visit) -> Result<Vec<Figure>, Problem> {
    let mut figures = Vec::new();
    let mut figure = |count: u64, id: &str, href: &str, tone: Tone| {
        if count > 0 {
            figures.push(Figure {
                value: count.to_string(),
                label: words::count(visit.lang, id, count),
                href: href.to_owned(),
                tone,
            });
        }
    };
    if visit.may(&["approver", "auditor"]) {
        let requests = open(visit).await?;
        let count = |wanted: fn(&pb::RequestSummary) -> bool| {
            requests.iter().filter(|request| wanted(request)).count() as u64
        };
        figure(
            count(|request| request.overdue),
            "home-overdue",
            "/inbox",
            Tone::Bad,
        );
        figure(
            count(|request| !request.overdue && !request.review_due),
            "home-requests",
            "/inbox",
            Tone::Plain,
        );
        figure(
            count(|request| request.review_due),
            "home-reviews",
            "/inbox",
            Tone::Bad,
        );
    }
    if visit.may(&["steward", "caseworker"]) {
        let alerts = ProtectionServiceClient::new(visit.api())
            .list_protection_alerts(pb::ListProtectionAlertsRequest {
                limit: 1,
                ..pb::ListProtectionAlertsRequest::default()
            })
            .await?
            .into_inner()
            .open;
        figure(alerts, "home-alerts", "/alerts", Tone::Bad);
    }
    Ok(figures)
}

fn node(
    visit: &Visit,
    status: &pb::GetStatusResponse,
    log: &pb::GetLogResponse,
) -> Vec<(String, Cell)> {
    let number = |number: u64| number.to_string();
    let log_state = if !log.not_signed.is_empty() {
        Cell::tag(Tone::Bad, visit.text("home-log-not-signed"))
    } else if log.broken_receipts > 0 || !log.findings.is_empty() {
        Cell::tag(Tone::Bad, visit.text("home-log-findings"))
    } else {
        Cell::tag(Tone::Good, visit.text("home-log-good"))
    };
    vec![
        (visit.text("home-peers"), peers(visit)),
        (
            visit.text("home-log"),
            log_state.and(Cell::text(words::count(
                visit.lang,
                "home-log-size",
                log.size,
            ))),
        ),
        (
            visit.text("home-records"),
            Cell::text(number(status.records)),
        ),
        (
            visit.text("home-searchable"),
            Cell::text(number(status.index_records)),
        ),
        (
            visit.text("home-key"),
            match (status.epoch, status.keyholder) {
                (0, _) => Cell::tag(Tone::Bad, visit.text("home-key-none")),
                (_, true) => Cell::text(visit.text("home-key-holder")),
                (_, false) => Cell::text(visit.text("home-key-other")),
            },
        ),
    ]
}

fn peers(visit: &Visit) -> Cell {
    let reached = lock(&visit.console.reached);
    if reached.at_ms == 0 {
        return Cell::text(visit.text("home-peers-unknown"));
    }
    let all = reached.members.len();
    let there = reached
        .members
        .iter()
        .filter(|(_, code, _)| is_reached(code))
        .count();
    let tone = if there == all { Tone::Good } else { Tone::Bad };
    Cell::tag(
        tone,
        visit.lang.with(
            "home-peers-reached",
            &[("there", there.into()), ("all", all.into())],
        ),
    )
    .and(Cell::moment(visit.lang, reached.at_ms))
    .and(Cell::link("/members", visit.text("nav-members")))
}

async fn quotas(visit: &Visit) -> Result<Block, Problem> {
    let quotas = QuotaServiceClient::new(visit.api())
        .list_quotas(pb::ListQuotasRequest {})
        .await;
    let elsewhere = match quotas {
        Ok(quotas) => quotas.into_inner().elsewhere,
        // Without a roster in force there are none.
        Err(status) if RemoteRefusal::from(status.clone()).code != "STORE_FAILED" => Vec::new(),
        Err(status) => return Err(status.into()),
    };
    Ok(Block::Table(Table {
        caption: visit.text("home-quotas"),
        columns: ["member", "quota", "left", "limit"]
            .map(|column| visit.text(&format!("column-{column}")))
            .into(),
        rows: elsewhere
            .into_iter()
            .map(|quota| {
                let left = quota.limit.saturating_sub(quota.used);
                let short = left * 10 < quota.limit;
                vec![
                    Cell::text(visit.party(&quota.member)),
                    Cell::text(words::named(visit.lang, "quota", &quota.quota)),
                    if short {
                        Cell::tag(Tone::Bad, left.to_string())
                    } else {
                        Cell::text(left.to_string())
                    },
                    Cell::text(quota.limit.to_string()),
                ]
            })
            .collect(),
        empty: visit.text("home-quotas-none"),
    }))
}

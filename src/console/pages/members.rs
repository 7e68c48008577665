//! The coalition's members, and whether they can be reached.

use crate::console::forms::{At, Done, FormPage, ReadPage, Sent};
use crate::console::gate::Visit;
use crate::console::pages::home::{is_reached, look};
use crate::console::problem::{Problem, Stop, told};
use crate::console::view::{Block, Cell, Form, Page, Table, Tone};
use crate::console::{lock, words};
use crate::exchange::disclose::Floor;
use crate::exchange::policy::{Policy, Question, RecordFacts};
use crate::proto::operator as pb;
use crate::proto::operator::membership_service_client::MembershipServiceClient;
use crate::proto::operator::policy_service_client::PolicyServiceClient;
use crate::records::{Consent, FIELDS, Protection};
use crate::roster::{LegalBasis, Purpose};

/// The roster.
pub struct Members;

/// The disclosure policy, explained.
pub struct Settings;

impl FormPage for Members {
    const PATH: &'static str = "/members";

    async fn show(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Page, Problem> {
        let membership = MembershipServiceClient::new(visit.api())
            .get_membership(pb::GetMembershipRequest {})
            .await?
            .into_inner();
        let lang = visit.lang;
        let mut page = Page::new("members", visit.text("members-title"));
        for warning in &membership.warnings {
            page = page.notice(
                Tone::Bad,
                warning.member.clone(),
                told(lang, &warning.code, &warning.sentence),
            );
        }
        let moment = |seconds: u64| match seconds {
            0 => Cell::text(visit.text("members-never")),
            seconds => Cell::moment(lang, seconds * 1000),
        };
        page = page.summary(vec![
            (
                visit.text("members-roster"),
                Cell::text(membership.roster_version.to_string()).and(
                    match membership.not_in_force.is_empty() {
                        true => Cell::tag(Tone::Good, visit.text("members-in-force")),
                        false => Cell::tag(Tone::Bad, &membership.not_in_force),
                    },
                ),
            ),
            (
                visit.text("members-digest"),
                Cell::code(hex::encode(&membership.roster_digest)),
            ),
            (visit.text("members-expires"), moment(membership.expires)),
            (visit.text("members-vouched"), moment(membership.vouched)),
        ]);
        let reached = lock(&visit.console.reached).members.clone();
        page = page.with(Block::Table(Table {
            caption: visit.text("members-list"),
            columns: ["member", "organisation", "part", "reached"]
                .map(|column| visit.text(&format!("column-{column}")))
                .into(),
            rows: membership
                .parties
                .iter()
                .map(|party| {
                    let mut part = Vec::new();
                    for (is, id) in [
                        (party.member, "members-member"),
                        (party.keyholder, "members-keyholder"),
                        (party.ombudsman, "members-ombudsman"),
                    ] {
                        if is {
                            part.push(visit.text(id));
                        }
                    }
                    let state = reached.iter().find(|(id, _, _)| *id == party.id);
                    let state = match state {
                        _ if party.own => Cell::text(visit.text("members-own")),
                        _ if party.suspended => {
                            Cell::tag(Tone::Bad, visit.text("members-suspended"))
                        }
                        None => Cell::text("–"),
                        Some((_, code, _)) if is_reached(code) => {
                            Cell::tag(Tone::Good, visit.text("members-reached"))
                        }
                        Some((_, code, message)) => {
                            Cell::tag(Tone::Bad, visit.text("members-not-reached"))
                                .and(Cell::text(told(lang, code, message)))
                        }
                    };
                    vec![
                        Cell::text(format!("{} ({})", party.name, party.id)),
                        Cell::text(&party.organisation).and(Cell::text(party.addresses.join(", "))),
                        Cell::text(part.join(", ")),
                        state,
                    ]
                })
                .collect(),
            empty: visit.text("members-none"),
        }));
        Ok(page.form(Form::new(Self::PATH, visit.text("members-test"))))
    }

    async fn act(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Done, Stop> {
        look(&visit.console, visit.api()).await?;
        Ok(Done::see(Self::PATH))
    }
}

impl ReadPage for Settings {
    const PATH: &'static str = "/settings";

    async fn show(visit: &Visit, _at: &At) -> Result<Page, Problem> {
        let policy = PolicyServiceClient::new(visit.api())
            .get_policy(pb::GetPolicyRequest {})
            .await?
            .into_inner();
        let mut page = Page::new("settings", visit.text("settings-title"));
        if !policy.refused_code.is_empty() {
            page = page.notice(
                Tone::Bad,
                visit.text("settings-refused"),
                format!("{} ({})", policy.refused_why, policy.refused_code),
            );
        }
        page = page.text(visit.text("settings-text"));
        if let Ok(read) = Policy::parse(&policy.text) {
            page = page.with(explained(visit, &read));
        }
        Ok(page
            .heading(visit.text("settings-policy"))
            .summary(vec![(
                visit.text("settings-digest"),
                Cell::code(&policy.sha256),
            )])
            .with(Block::Verbatim(policy.text))
            .heading(visit.text("settings-more"))
            .text(visit.text("settings-more-text")))
    }
}

/// What each field needs, for the findings that there are most of.
fn explained(visit: &Visit, policy: &Policy) -> Block {
    let question = |certain| Question {
        member: "any".to_owned(),
        purpose: Purpose::FamilyTracing,
        legal_basis: LegalBasis::VitalInterest,
        certain,
        urgent: false,
        record: RecordFacts {
            status: String::new(),
            protection: Protection::None,
            ground: Consent::Tracing,
            entered_by: Vec::new(),
            family_silent: false,
        },
    };
    let cell = |column, certain| {
        let question = question(certain);
        let needs = Floor::of_question(&question).over(policy.verdict(&question, column).needs);
        let tone = match needs.as_str() {
            "granted" | "nobody" => Tone::Bad,
            _ => Tone::Plain,
        };
        Cell::tag(tone, words::named(visit.lang, "needs", needs.as_str()))
    };
    Block::Table(Table {
        caption: visit.text("settings-explained"),
        columns: ["field", "certain", "uncertain"]
            .map(|column| visit.text(&format!("column-{column}")))
            .into(),
        rows: FIELDS
            .iter()
            .filter(|field| field.disclosable)
            .map(|field| {
                vec![
                    Cell::text(words::field(visit.lang, field.name)),
                    cell(field.column, true),
                    cell(field.column, false),
                ]
            })
            .collect(),
        empty: String::new(),
    })
}

//! What stands around every page.

use axum::http::StatusCode;
use axum::response::Response;

use super::gate::{Visit, html};
use super::problem::Problem;
use super::view::{Block, Frame, Page, Tone};
use super::{assets, secrets};
use crate::locale::Lang;

/// The navigation: section, address, and whose it is (everybody's if nobody is named).
const NAVIGATION: &[(&str, &str, &[&str])] = &[
    ("home", "/", &[]),
    ("search", "/search", &["caseworker"]),
    ("cases", "/cases", &["caseworker"]),
    ("inbox", "/inbox", &["approver", "auditor"]),
    ("register", "/register", &["steward", "caseworker"]),
    ("review", "/review", &["steward", "caseworker"]),
    ("audit", "/audit", &[]),
    ("members", "/members", &[]),
    ("people", "/people", &["administrator"]),
    ("settings", "/settings", &[]),
];

/// The frame of a visitor's page.
#[must_use]
pub fn frame(visit: &Visit) -> Frame {
    let navigation = match &visit.person {
        None => Vec::new(),
        Some(person) => NAVIGATION
            .iter()
            .filter(|(_, _, roles)| roles.is_empty() || person.is(roles))
            .map(|(section, href, _)| {
                (
                    *section,
                    visit.text(&format!("nav-{section}")),
                    (*href).to_owned(),
                )
            })
            .collect(),
    };
    Frame {
        lang: visit.lang,
        member: visit.console.member.clone(),
        person: visit.person.as_ref().map(|person| person.name.clone()),
        navigation,
        here: visit.here.clone(),
        stylesheet: assets::stylesheet().address(),
        script: assets::script().address(),
        seal: secrets::seal(&visit.secret, visit.account()),
        notices: Vec::new(),
    }
}

/// A page with its forms sealed for this browser and session.
pub fn sealed(visit: &Visit, mut page: Page) -> Page {
    for block in &mut page.blocks {
        if let Block::Form(form) = block {
            form.seal = secrets::seal(&visit.secret, visit.account());
            form.once = hex::encode(visit.console.ambient.random::<8>());
        }
    }
    page
}

/// A page that says why another is not shown.
#[must_use]
pub fn problem_page(visit: &Visit, problem: &Problem) -> Response {
    let title = match problem {
        Problem::NotFound => "problem-title-not-found",
        Problem::Role(_) => "problem-title-role",
        _ => "problem-title",
    };
    let page = Page::new("", visit.text(title))
        .notice(
            Tone::Bad,
            visit.text("console-notice"),
            problem.words(visit.lang),
        )
        .back("/", visit.text("console-to-home"));
    html(problem.status(), page.write(&frame(visit), &[]))
}

/// A page for a request of which nothing is known but its language.
#[must_use]
pub fn plain(lang: Lang, status: StatusCode, id: &str) -> Response {
    let frame = Frame {
        lang,
        member: String::new(),
        person: None,
        navigation: Vec::new(),
        here: "/".to_owned(),
        stylesheet: assets::stylesheet().address(),
        script: assets::script().address(),
        seal: String::new(),
        notices: Vec::new(),
    };
    let page = Page::new("", lang.text("problem-title")).notice(
        Tone::Bad,
        lang.text("console-notice"),
        lang.text(id),
    );
    html(status, page.write(&frame, &[]))
}

//! The ways to sign in beside password and code: a passkey, the member's identity provider.

use axum::extract::{Extension, RawQuery};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::sign_in::signed_in;
use crate::console::forms::{At, Done, FormPage, Sent, answer};
use crate::console::gate::{Visit, see};
use crate::console::problem::{Problem, Stop, Wrong};
use crate::console::view::{Asks, Block, Cell, Field, Form, Link, Page, Table, Tone};
use crate::exchange::RemoteRefusal;
use crate::node::InProcess;
use crate::node::accounts::{read_base64, write_base64};
use crate::proto::operator as pb;
use crate::proto::operator::sign_in_service_client::SignInServiceClient;

/// Signing in with a passkey.
pub struct PasskeySignIn;

/// How a person signs in, for themselves.
pub struct OwnAccount;

/// Where the provider sends a browser back to.
pub const BACK: &str = "/sign-in/provider/back";

/// The calls of whoever is not signed in yet.
fn nobody(visit: &Visit) -> SignInServiceClient<InProcess> {
    SignInServiceClient::new(visit.console.api.as_person(None))
}

/// The ways that a page for signing in offers beside its form.
///
/// # Errors
/// What the node says.
pub async fn offered(visit: &Visit, mut page: Page, again: bool) -> Result<Page, Problem> {
    if let Some(provider) = provider(visit).await? {
        let to = if again {
            "/sign-in/provider?again=yes"
        } else {
            "/sign-in/provider"
        };
        let words = visit
            .lang
            .with("ways-provider", &[("provider", provider.into())]);
        page = page.with(Block::Links(vec![Link::new(to, words)]));
    }
    Ok(page.form(passkey_form(visit).await?))
}

/// What the member's identity provider is called, if there is one.
async fn provider(visit: &Visit) -> Result<Option<String>, Problem> {
    let ways = nobody(visit)
        .get_ways(pb::GetWaysRequest {})
        .await?
        .into_inner();
    Ok(Some(ways.provider).filter(|name| !name.is_empty()))
}

async fn challenge(visit: &Visit) -> Result<String, Problem> {
    Ok(nobody(visit)
        .draw_challenge(pb::DrawChallengeRequest {
            browser: visit.browser.clone(),
        })
        .await?
        .into_inner()
        .challenge)
}

/// What an authenticator answers is put into these by the script.
fn answers(mut form: Form, names: &[&str]) -> Form {
    for name in names {
        form = form.field(Field::hidden(*name, ""));
    }
    form
}

async fn passkey_form(visit: &Visit) -> Result<Form, Problem> {
    let form = Form::new(PasskeySignIn::PATH, visit.text("ways-passkey"))
        .asks(Asks::Passkey, visit.text("ways-passkey-failed"))
        .field(Field::hidden("challenge", challenge(visit).await?));
    Ok(answers(
        form,
        &[
            "credential",
            "client_data",
            "authenticator_data",
            "signature",
            "account",
        ],
    ))
}

fn passkey_answer(visit: &Visit, sent: &Sent) -> pb::PasskeyAnswer {
    let octets = |name: &str| read_base64(sent.values.get(name));
    pb::PasskeyAnswer {
        origin: visit.origin.clone(),
        browser: visit.browser.clone(),
        challenge: sent.values.get("challenge").to_owned(),
        credential: octets("credential"),
        client_data: octets("client_data"),
        authenticator_data: octets("authenticator_data"),
    }
}

/// What is wrong with a passkey, said of the whole form; other problems as they are.
fn refused(visit: &Visit, status: tonic::Status) -> Stop {
    let code = RemoteRefusal::from(status.clone()).code;
    if code.starts_with("PASSKEY_") || code == "CHALLENGE_OLD" {
        Stop::at("", visit.text(&format!("problem-{code}")))
    } else {
        status.into()
    }
}

impl FormPage for PasskeySignIn {
    const PATH: &'static str = "/sign-in/passkey";
    const OPEN: bool = true;

    async fn show(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Page, Problem> {
        Ok(Page::new("", visit.text("ways-passkey-title"))
            .text(visit.text("ways-passkey-text"))
            .form(passkey_form(visit).await?)
            .with(Block::Links(vec![Link::new(
                "/sign-in",
                visit.text("ways-password"),
            )])))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        if visit.is_held_off() {
            return Err(Stop::at("", visit.text("sign-in-held-off")));
        }
        let answered = nobody(visit)
            .sign_in_with_passkey(pb::SignInWithPasskeyRequest {
                answer: Some(passkey_answer(visit, sent)),
                signature: read_base64(sent.values.get("signature")),
                account: read_base64(sent.values.get("account")),
            })
            .await;
        match answered {
            Ok(answered) => {
                let session = answered.into_inner().session.unwrap_or_default();
                signed_in(visit, &session).await
            }
            Err(status) => {
                if status.code() == tonic::Code::Unauthenticated {
                    visit.note_refusal();
                }
                Err(refused(visit, status))
            }
        }
    }
}

fn redirect(visit: &Visit) -> String {
    format!("{}{BACK}", visit.origin)
}

/// Sends a browser to the identity provider. It is no form: browsers keep a form from leaving for
/// another site, and nothing is done yet by it.
pub async fn to_provider(
    Extension(visit): Extension<Visit>,
    RawQuery(query): RawQuery,
) -> Response {
    if visit.is_held_off() {
        return provider_problem(&visit, visit.text("sign-in-held-off")).await;
    }
    let begun = nobody(&visit)
        .begin_provider(pb::BeginProviderRequest {
            browser: visit.browser.clone(),
            redirect: redirect(&visit),
            again: query.as_deref() == Some("again=yes"),
        })
        .await;
    match begun {
        Ok(begun) => see(&begun.into_inner().address),
        Err(status) => provider_problem(&visit, Problem::from(status).words(visit.lang)).await,
    }
}

/// Takes a browser back from the identity provider.
pub async fn from_provider(
    Extension(visit): Extension<Visit>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let part = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(known, _)| known == name)
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    if visit.is_held_off() {
        return provider_problem(&visit, visit.text("sign-in-held-off")).await;
    }
    if part("code").is_empty() {
        // The provider says why in words of its own, which anybody could have written.
        return provider_problem(&visit, visit.text("ways-provider-declined")).await;
    }
    let finished = nobody(&visit)
        .finish_provider(pb::FinishProviderRequest {
            browser: visit.browser.clone(),
            redirect: redirect(&visit),
            state: part("state"),
            code: part("code"),
            issuer: part("iss"),
        })
        .await;
    let finished = match finished {
        Ok(finished) => finished.into_inner(),
        Err(status) => {
            visit.note_refusal();
            return provider_problem(&visit, Problem::from(status).words(visit.lang)).await;
        }
    };
    let Some(session) = finished.session else {
        let page = Page::new("", visit.text("ways-unknown-title"))
            .text(visit.text("ways-unknown"))
            .summary(vec![(
                visit.text("ways-subject"),
                Cell::code(finished.unknown_subject),
            )])
            .back("/sign-in", visit.text("sign-in-title"));
        let mut shown = answer(&visit, Ok(page), &Wrong::default(), Vec::new()).await;
        *shown.status_mut() = StatusCode::FORBIDDEN;
        return shown;
    };
    match signed_in(&visit, &session).await {
        Ok(done) => done.into_response(),
        Err(_) => provider_problem(&visit, visit.text("console-failed")).await,
    }
}

async fn provider_problem(visit: &Visit, words: String) -> Response {
    let page = Page::new("", visit.text("ways-provider-title"))
        .notice(Tone::Bad, visit.text("console-notice"), words)
        .with(Block::Links(vec![Link::new(
            "/sign-in",
            visit.text("sign-in-title"),
        )]));
    let mut shown = answer(visit, Ok(page), &Wrong::default(), Vec::new()).await;
    *shown.status_mut() = StatusCode::UNAUTHORIZED;
    shown
}

impl FormPage for OwnAccount {
    const PATH: &'static str = "/account";

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        let passkeys = SignInServiceClient::new(visit.api())
            .list_passkeys(pb::ListPasskeysRequest {})
            .await?
            .into_inner()
            .passkeys;
        let person = visit.person.as_ref().ok_or(Problem::SignIn)?;
        let known: Vec<String> = passkeys
            .iter()
            .map(|passkey| write_base64(&passkey.credential))
            .collect();
        let handle = hex::decode(&person.account).unwrap_or_default();
        let name = |passkey: &pb::Passkey| match passkey.label.is_empty() {
            true => visit.text("account-passkey-nameless"),
            false => passkey.label.clone(),
        };
        let mut page = Page::new("", visit.text("account-title"))
            .text(visit.text("account-text"))
            .with(Block::Table(Table {
                caption: visit.text("account-passkeys"),
                columns: ["name", "when"]
                    .map(|column| visit.text(&format!("column-{column}")))
                    .into(),
                rows: passkeys
                    .iter()
                    .map(|passkey| {
                        vec![
                            Cell::text(name(passkey)),
                            Cell::moment(visit.lang, passkey.added_ms),
                        ]
                    })
                    .collect(),
                empty: visit.text("account-passkeys-none"),
            }));
        for passkey in &passkeys {
            let words = visit
                .lang
                .with("account-passkey-remove", &[("name", name(passkey).into())]);
            page = page.form(
                Form::bare(Self::PATH)
                    .field(Field::hidden("passkey", write_base64(&passkey.credential)))
                    .button("remove", words, Tone::Bad),
            );
        }
        let form = Form::new(Self::PATH, visit.text("account-passkey-add"))
            .asks(Asks::NewPasskey, visit.text("account-passkey-failed"))
            .field(
                Field::line(
                    "label",
                    visit.text("account-passkey-label"),
                    sent.values.get("label"),
                )
                .hint(visit.text("account-passkey-label-hint"))
                .wrong(sent.wrong.of("label")),
            )
            .field(Field::hidden("challenge", challenge(visit).await?))
            .field(Field::hidden("account", write_base64(&handle)))
            .field(Field::hidden("person", person.name.clone()))
            .field(Field::hidden("known", known.join(" ")));
        Ok(page
            .heading(visit.text("account-passkey-new"))
            .with(Block::Note(visit.text("account-passkey-note")))
            .form(answers(
                form,
                &[
                    "credential",
                    "client_data",
                    "authenticator_data",
                    "public_key",
                ],
            )))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        let mut client = SignInServiceClient::new(visit.api());
        let octets = |name: &str| read_base64(sent.values.get(name));
        if sent.values.get("act") == "remove" {
            client
                .remove_passkey(pb::RemovePasskeyRequest {
                    credential: octets("passkey"),
                })
                .await?;
        } else {
            client
                .add_passkey(pb::AddPasskeyRequest {
                    answer: Some(passkey_answer(visit, sent)),
                    public_key: octets("public_key"),
                    label: sent.values.get("label").to_owned(),
                })
                .await
                .map_err(|status| refused(visit, status))?;
        }
        Ok(Done::see(Self::PATH))
    }
}

/// Which person of the identity provider an account is: the form for administrators, where there is a
/// provider.
///
/// # Errors
/// What the node says.
pub async fn link_form(
    visit: &Visit,
    sent: &Sent,
    account: &pb::Account,
) -> Result<Option<Form>, Problem> {
    let Some(provider) = provider(visit).await? else {
        return Ok(None);
    };
    let subject = match sent.values.get("act") {
        "link" => sent.values.get("subject"),
        _ => &account.provider_subject,
    };
    let here = format!("/people/{}", account.account);
    Ok(Some(
        Form::new(here, visit.text("console-save"))
            .act("link")
            .heading(
                visit
                    .lang
                    .with("people-link-title", &[("provider", provider.into())]),
            )
            .field(
                Field::line("subject", visit.text("ways-subject"), subject)
                    .hint(visit.text("people-link-hint"))
                    .wrong(sent.wrong.of("subject")),
            ),
    ))
}

/// Links an account as the form says.
///
/// # Errors
/// What is wrong with it, or what the node says.
pub async fn link(visit: &Visit, sent: &Sent, name: &str) -> Result<(), Stop> {
    let linked = SignInServiceClient::new(visit.api())
        .link_account(pb::LinkAccountRequest {
            name: name.to_owned(),
            subject: sent.values.get("subject").to_owned(),
        })
        .await;
    match linked {
        Ok(_) => Ok(()),
        Err(status) => {
            let code = RemoteRefusal::from(status.clone()).code;
            match code.as_str() {
                "SUBJECT" | "LINK_TAKEN" => {
                    Err(Stop::at("subject", visit.text(&format!("problem-{code}"))))
                }
                _ => Err(status.into()),
            }
        }
    }
}

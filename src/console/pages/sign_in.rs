//! Taking an account, signing in and out, and choosing a language.

use super::ways::offered;
use crate::console::forms::{At, Done, FormPage, Sent, draft_of};
use crate::console::gate::Visit;
use crate::console::problem::{Problem, Stop, Wrong};
use crate::console::view::{Block, Cell, Choice, Field, Form, Kind, Link, Page, Picture, Tone};
use crate::console::{qr, secrets};
use crate::exchange::RemoteRefusal;
use crate::locale::Lang;
use crate::node::accounts::MIN_PASSWORD;
use crate::proto::operator as pb;
use crate::proto::operator::account_service_client::AccountServiceClient;

/// The first administrator takes an account, with the code from the terminal.
pub struct SetUp;

/// A person takes the account that an administrator made.
pub struct Claim;

/// Signing in.
pub struct SignIn;

/// Signing in once more, before a decision.
pub struct SignInAgain;

/// Signing out.
pub struct SignOut;

/// Choosing a language.
pub struct Language;

fn secret_line(name: &str, label: String, kind: &'static str, autocomplete: &'static str) -> Field {
    Field::new(
        name,
        label,
        Kind::Line {
            kind,
            value: String::new(),
            autocomplete,
            width: "full",
        },
    )
}

fn name_field(visit: &Visit, sent: &Sent, value: &str) -> Field {
    Field::new(
        "name",
        visit.text("sign-in-name"),
        Kind::Line {
            kind: "text",
            value: value.to_owned(),
            autocomplete: "username",
            width: "full",
        },
    )
    .wrong(sent.wrong.of("name"))
}

fn claim_form(visit: &Visit, sent: &Sent, action: &str, code_hint: &str) -> Form {
    let wrong = &sent.wrong;
    let length = visit
        .lang
        .with("claim-password-hint", &[("length", MIN_PASSWORD.into())]);
    Form::new(action, visit.text("claim-button"))
        .field(
            Field::line("code", visit.text("claim-code"), "")
                .hint(visit.text(code_hint))
                .wrong(wrong.of("code")),
        )
        .field(name_field(visit, sent, sent.values.get("name")).hint(visit.text("claim-name-hint")))
        .field(
            secret_line(
                "password",
                visit.text("sign-in-password"),
                "password",
                "new-password",
            )
            .hint(length)
            .wrong(wrong.of("password")),
        )
        .field(
            secret_line(
                "password-again",
                visit.text("claim-password-again"),
                "password",
                "new-password",
            )
            .wrong(wrong.of("password-again")),
        )
}

async fn claim(visit: &Visit, sent: &Sent) -> Result<Done, Stop> {
    let values = &sent.values;
    let mut wrong = Wrong::default();
    wrong.need(visit, "code", values.get("code"));
    wrong.need(visit, "name", values.get("name"));
    wrong.need(visit, "password", values.raw("password"));
    if values.raw("password") != values.raw("password-again") {
        wrong.say("password-again", visit.text("claim-passwords-differ"));
    }
    wrong.stop()?;
    if visit.is_held_off() {
        return Err(Stop::at("", visit.text("sign-in-held-off")));
    }
    let _place = visit.console.hashing.acquire().await;
    let claimed = AccountServiceClient::new(visit.api())
        .claim_account(pb::ClaimAccountRequest {
            name: values.get("name").to_owned(),
            code: values.get("code").to_owned(),
            password: values.raw("password").to_owned(),
        })
        .await;
    let claimed = match claimed {
        Ok(claimed) => claimed.into_inner(),
        Err(status) => {
            let refusal = RemoteRefusal::from(status.clone());
            let field = match refusal.code.as_str() {
                "CODE_WRONG" => {
                    visit.note_refusal();
                    "code"
                }
                "ACCOUNT_NAME" | "NAME_TAKEN" => "name",
                "PASSWORD_LENGTH" => "password",
                _ => return Err(status.into()),
            };
            let words = visit.text(&format!("problem-{}", refusal.code));
            return Err(Stop::at(field, words));
        }
    };
    let mut page = Page::new("", visit.text("claimed-title")).text(visit.text("claimed-text"));
    if let Some(svg) = qr::svg(&claimed.otpauth) {
        page = page.with(Block::Picture(Picture {
            title: visit.text("claimed-picture"),
            svg,
            alternative: visit.text("claimed-picture-note"),
        }));
    }
    let page = page
        .summary(vec![
            (visit.text("claimed-secret"), Cell::code(claimed.secret)),
            (
                visit.text("claimed-link"),
                Cell::link(claimed.otpauth, visit.text("claimed-link-text")),
            ),
        ])
        .notice(
            Tone::Plain,
            visit.text("console-notice"),
            visit.text("claimed-once"),
        )
        .with(Block::Links(vec![Link::new(
            "/sign-in",
            visit.text("claimed-next"),
        )]));
    Ok(Done::page(page))
}

impl FormPage for SetUp {
    const PATH: &'static str = "/set-up";
    const OPEN: bool = true;

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        let page = Page::new("", visit.text("set-up-title"));
        if visit.console.store.account_count().await? > 0 {
            return Ok(page.text(visit.text("set-up-done")).with(Block::Links(vec![
                Link::new("/sign-in", visit.text("sign-in-title")),
                Link::new("/claim", visit.text("claim-title")),
            ])));
        }
        Ok(page.text(visit.text("set-up-text")).form(claim_form(
            visit,
            sent,
            Self::PATH,
            "set-up-code-hint",
        )))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        claim(visit, sent).await
    }
}

impl FormPage for Claim {
    const PATH: &'static str = "/claim";
    const OPEN: bool = true;

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        Ok(Page::new("", visit.text("claim-title"))
            .text(visit.text("claim-text"))
            .form(claim_form(visit, sent, Self::PATH, "claim-code-hint")))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        claim(visit, sent).await
    }
}

fn sign_in_form(visit: &Visit, sent: &Sent, action: &str, name: &str) -> Form {
    Form::new(action, visit.text("sign-in-button"))
        .field(name_field(visit, sent, name))
        .field(
            secret_line(
                "password",
                visit.text("sign-in-password"),
                "password",
                "current-password",
            )
            .wrong(sent.wrong.of("password")),
        )
        .field(
            secret_line("code", visit.text("sign-in-code"), "text", "one-time-code")
                .narrow()
                .hint(visit.text("sign-in-code-hint"))
                .wrong(sent.wrong.of("code")),
        )
}

async fn sign_in(visit: &Visit, sent: &Sent) -> Result<Done, Stop> {
    let values = &sent.values;
    let mut wrong = Wrong::default();
    wrong.need(visit, "name", values.get("name"));
    wrong.need(visit, "password", values.raw("password"));
    wrong.need(visit, "code", values.get("code"));
    wrong.stop()?;
    if visit.is_held_off() {
        return Err(Stop::at("", visit.text("sign-in-held-off")));
    }
    let _place = visit.console.hashing.acquire().await;
    let signed_in = AccountServiceClient::new(visit.console.api.as_person(None))
        .sign_in(pb::SignInRequest {
            name: values.get("name").to_owned(),
            password: values.raw("password").to_owned(),
            code: values.get("code").replace(' ', ""),
        })
        .await;
    let signed_in = match signed_in {
        Ok(signed_in) => signed_in.into_inner(),
        Err(status) => {
            let refusal = RemoteRefusal::from(status.clone());
            if !matches!(refusal.code.as_str(), "SIGN_IN_REFUSED" | "SIGN_IN_LOCKED") {
                return Err(status.into());
            }
            visit.note_refusal();
            let words = visit.text(&format!("problem-{}", refusal.code));
            return Err(Stop::at("", words));
        }
    };
    self::signed_in(visit, &signed_in).await
}

/// Goes on with a session that was begun, in whichever way.
///
/// # Errors
/// What the node says.
pub async fn signed_in(visit: &Visit, session: &pb::SignInResponse) -> Result<Done, Stop> {
    // The session that this one takes the place of ends.
    if visit.person.is_some() {
        AccountServiceClient::new(visit.api())
            .sign_out(pb::SignOutRequest {})
            .await?;
    }
    let location = match draft_of(visit, &session.account).await? {
        Some(_) => "/continue",
        None => "/",
    };
    let mut done =
        Done::see(location).cookie(secrets::set_cookie(secrets::SESSION, &session.token));
    let tag = language_tag(&session.account);
    if let Some(lang) = visit.console.store.kept(&tag, 0, visit.now_ms()).await?
        && let Ok(code) = std::str::from_utf8(&lang)
    {
        done = done.cookie(secrets::set_cookie(secrets::LANGUAGE, code));
    }
    Ok(done)
}

impl FormPage for SignIn {
    const PATH: &'static str = "/sign-in";
    const OPEN: bool = true;

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        let page = Page::new("", visit.text("sign-in-title")).form(sign_in_form(
            visit,
            sent,
            Self::PATH,
            sent.values.get("name"),
        ));
        Ok(offered(visit, page, false)
            .await?
            .with(Block::Links(vec![Link::new(
                "/claim",
                visit.text("sign-in-claim"),
            )])))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        sign_in(visit, sent).await
    }
}

impl FormPage for SignInAgain {
    const PATH: &'static str = "/sign-in/again";
    const OPEN: bool = true;

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        let known = visit
            .person
            .as_ref()
            .map_or("", |person| person.name.as_str());
        let name = match sent.is_fresh() {
            true => known,
            false => sent.values.get("name"),
        };
        let page = Page::new("", visit.text("sign-in-again-title"))
            .text(visit.text("sign-in-again-text"))
            .form(sign_in_form(visit, sent, Self::PATH, name));
        offered(visit, page, true).await
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        sign_in(visit, sent).await
    }
}

impl FormPage for SignOut {
    const PATH: &'static str = "/sign-out";
    const OPEN: bool = true;

    async fn show(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Page, Problem> {
        let page = Page::new("", visit.text("signed-out-title"));
        Ok(if visit.person.is_some() {
            page.form(Form::new(Self::PATH, visit.text("console-sign-out")))
        } else {
            page.text(visit.text("signed-out-text"))
                .with(Block::Links(vec![Link::new(
                    "/sign-in",
                    visit.text("sign-in-title"),
                )]))
        })
    }

    async fn act(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Done, Stop> {
        if visit.person.is_some() {
            AccountServiceClient::new(visit.api())
                .sign_out(pb::SignOutRequest {})
                .await?;
        }
        Ok(Done::see(Self::PATH)
            .cookie(secrets::end_cookie(secrets::SESSION))
            .cookie(secrets::end_cookie(secrets::BROWSER)))
    }
}

fn language_tag(account: &str) -> [u8; 32] {
    secrets::tag("language", &[account.as_bytes()])
}

/// A moment that does not come, in milliseconds since 1970.
const NEVER_MS: u64 = 1 << 52;

impl FormPage for Language {
    const PATH: &'static str = "/language";
    const OPEN: bool = true;

    async fn show(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Page, Problem> {
        let choices = Lang::ALL
            .into_iter()
            .map(|lang| {
                // Each by its own name: whoever looks for a language can read that one.
                Choice::new(lang.code(), lang.text("language-name"), lang == visit.lang)
            })
            .collect();
        Ok(Page::new("", visit.text("language-title")).form(
            Form::new(Self::PATH, visit.text("console-save")).field(Field::new(
                "lang",
                visit.text("language-title"),
                Kind::One { choices },
            )),
        ))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        let lang: Lang = sent.values.get("lang").parse().unwrap_or(visit.lang);
        if visit.person.is_some() {
            let tag = language_tag(visit.account());
            let store = &visit.console.store;
            store
                .keep_part(&tag, 0, lang.code().as_bytes(), NEVER_MS)
                .await?;
        }
        let back = sent.values.get("back");
        // A path of this console and nothing else.
        let back = if back.starts_with('/') && !back.starts_with("//") && !back.contains('\\') {
            back
        } else {
            "/"
        };
        Ok(Done::see(back).cookie(secrets::set_cookie(secrets::LANGUAGE, lang.code())))
    }
}

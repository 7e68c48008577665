//! What every request passes before a page sees it, and every answer before it leaves.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::frame::plain;
use super::listen::Remote;
use super::{Console, lock, secrets};
use crate::locale::Lang;
use crate::node::InProcess;
use crate::proto::operator as pb;
use crate::proto::operator::account_service_client::AccountServiceClient;

/// How many sign-ins from one address may be refused within [`WINDOW_MS`].
const REFUSALS: u32 = 20;

/// For how long refused sign-ins are counted, in milliseconds.
const WINDOW_MS: u64 = 5 * 60_000;

/// Of how many addresses they are counted.
const ADDRESSES: usize = 10_000;

/// Refused sign-ins of one address.
pub struct Refusals {
    since_ms: u64,
    count: u32,
}

/// Who is signed in.
pub struct Person {
    /// The name.
    pub name: String,
    /// The account's pseudonym in the log, hex.
    pub account: String,
    /// The roles, by name.
    pub roles: Vec<String>,
    /// The session's token.
    pub token: String,
}

impl Person {
    /// Whether the person has one of these roles.
    #[must_use]
    pub fn is(&self, roles: &[&str]) -> bool {
        self.roles.iter().any(|role| roles.contains(&role.as_str()))
    }
}

/// One request, as pages see it.
#[derive(Clone)]
pub struct Visit {
    /// The console.
    pub console: Arc<Console>,
    /// The reader's language.
    pub lang: Lang,
    /// Who is signed in, if anyone.
    pub person: Option<Arc<Person>>,
    /// What seals this browser's forms: the session's token, or the browser's secret before there is
    /// a session.
    pub secret: String,
    /// The browser's secret.
    pub browser: String,
    /// The path.
    pub here: String,
    /// Scheme, host and port under which the browser calls the console.
    pub origin: String,
    /// From where.
    pub remote: IpAddr,
}

impl Visit {
    /// The operator API as the person who is signed in.
    #[must_use]
    pub fn api(&self) -> InProcess {
        let token = self.person.as_ref().map(|person| person.token.as_str());
        self.console.api.as_person(token)
    }

    /// Now, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.console.ambient.now_ms()
    }

    /// A text.
    #[must_use]
    pub fn text(&self, id: &str) -> String {
        self.lang.text(id)
    }

    /// The account, hex; empty for nobody.
    #[must_use]
    pub fn account(&self) -> &str {
        self.person
            .as_ref()
            .map_or("", |person| person.account.as_str())
    }

    /// Whether the person has one of these roles.
    #[must_use]
    pub fn may(&self, roles: &[&str]) -> bool {
        self.person.as_ref().is_some_and(|person| person.is(roles))
    }

    /// A party as people call it: `Poland (pl)`; by its id alone until its name is known.
    #[must_use]
    pub fn party(&self, id: &str) -> String {
        let parties = lock(&self.console.parties);
        match parties.get(id) {
            Some(name) => format!("{name} ({id})"),
            None => id.to_owned(),
        }
    }

    /// Whether so many sign-ins from there were refused that no more are tried.
    #[must_use]
    pub fn is_held_off(&self) -> bool {
        let refused = lock(&self.console.refused);
        refused.get(&self.remote).is_some_and(|refusals| {
            self.now_ms() < refusals.since_ms + WINDOW_MS && refusals.count >= REFUSALS
        })
    }

    /// Notes that a sign-in was refused.
    pub fn note_refusal(&self) {
        let now_ms = self.now_ms();
        let mut refused = lock(&self.console.refused);
        if refused.len() >= ADDRESSES {
            refused.retain(|_, refusals| now_ms < refusals.since_ms + WINDOW_MS);
        }
        if refused.len() >= ADDRESSES && !refused.contains_key(&self.remote) {
            return;
        }
        let fresh = Refusals {
            since_ms: now_ms,
            count: 0,
        };
        let refusals = refused.entry(self.remote).or_insert(fresh);
        if now_ms >= refusals.since_ms + WINDOW_MS {
            *refusals = Refusals {
                since_ms: now_ms,
                count: 0,
            };
        }
        refusals.count += 1;
    }
}

/// Lets a request in, or says why not, and puts on every answer what protects its reader.
pub async fn pass(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let tls = console.tls;
    let mut answer = admit(console, request, next).await;
    protect(answer.headers_mut(), tls);
    answer
}

async fn admit(console: Arc<Console>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let lang = language(headers);
    if !is_ours(&console, headers) {
        return plain(lang, StatusCode::MISDIRECTED_REQUEST, "console-wrong-host");
    }
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::POST if comes_from_us(headers) => {}
        Method::POST => return plain(lang, StatusCode::FORBIDDEN, "console-foreign-form"),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    let kept = secrets::cookie(headers, secrets::BROWSER).filter(|kept| secrets::is_secret(kept));
    let browser = kept
        .clone()
        .unwrap_or_else(|| secrets::draw(&console.ambient));
    let token =
        secrets::cookie(headers, secrets::SESSION).filter(|token| secrets::is_secret(token));
    let person = match &token {
        None => None,
        Some(token) => match who(&console, token).await {
            Ok(person) => person,
            Err(()) => return plain(lang, StatusCode::INTERNAL_SERVER_ERROR, "console-failed"),
        },
    };
    let remote = request
        .extensions()
        .get::<Remote>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |remote| remote.0);
    let visit = Visit {
        lang,
        person: person.map(Arc::new),
        secret: token.unwrap_or_else(|| browser.clone()),
        browser: browser.clone(),
        here: request.uri().path().to_owned(),
        origin: origin(&console, request.headers()),
        remote,
        console,
    };
    request.extensions_mut().insert(visit);
    let mut answer = next.run(request).await;
    if kept.is_none()
        && let Some(cookie) = secrets::set_cookie(secrets::BROWSER, &browser)
    {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

/// Whose session it is; nobody's if it has ended.
async fn who(console: &Console, token: &str) -> Result<Option<Person>, ()> {
    let answer = AccountServiceClient::new(console.api.as_person(Some(token)))
        .who_am_i(pb::WhoAmIRequest {})
        .await;
    match answer {
        Ok(answer) => {
            let who = answer.into_inner();
            Ok(Some(Person {
                name: who.name,
                account: who.account,
                roles: who.roles,
                token: token.to_owned(),
            }))
        }
        Err(status) if status.code() == tonic::Code::Unauthenticated => Ok(None),
        Err(_) => Err(()),
    }
}

/// The language that was chosen, or the first of the browser's that there is.
fn language(headers: &HeaderMap) -> Lang {
    let chosen = secrets::cookie(headers, secrets::LANGUAGE);
    if let Some(lang) = chosen.and_then(|code| code.parse().ok()) {
        return lang;
    }
    headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok())
        .into_iter()
        .flat_map(|value| value.split(','))
        .filter_map(|tag| tag.trim().get(..2)?.to_ascii_lowercase().parse().ok())
        .next()
        .unwrap_or_default()
}

fn host(value: &str) -> &str {
    // The port may be anything: what counts is that no other name points here.
    match value.rfind(':') {
        Some(at) if !value[at..].contains(']') => &value[..at],
        _ => value,
    }
}

/// Under what a browser calls the console. The host is one of the console's: others were refused.
fn origin(console: &Console, headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let scheme = if console.tls { "https" } else { "http" };
    format!("{scheme}://{host}")
}

fn is_ours(console: &Console, headers: &HeaderMap) -> bool {
    let Some(asked) = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    console
        .hosts
        .iter()
        .any(|known| known.eq_ignore_ascii_case(host(asked)))
}

/// Whether a form was sent from a page of this console, as far as the browser says.
fn comes_from_us(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(&HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    match text(&header::ORIGIN) {
        None => true,
        Some(origin) => origin.split_once("://").map(|(_, host)| host) == text(&header::HOST),
    }
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

fn protect(headers: &mut HeaderMap, tls: bool) {
    let mut put = |name: &'static str, value: &'static str| {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    };
    put("content-security-policy", POLICY);
    put("x-content-type-options", "nosniff");
    put("x-frame-options", "DENY");
    put("referrer-policy", "same-origin");
    put("cross-origin-opener-policy", "same-origin");
    put("cross-origin-resource-policy", "same-origin");
    put(
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    );
    if tls {
        put(
            "strict-transport-security",
            "max-age=63072000; includeSubDomains",
        );
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// A page as an answer.
#[must_use]
pub fn html(status: StatusCode, page: impl Into<Body>) -> Response {
    let mut answer = Response::new(page.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    answer
}

/// Sends a browser elsewhere, by GET.
#[must_use]
pub fn see(location: &str) -> Response {
    let mut answer = StatusCode::SEE_OTHER.into_response();
    // Addresses are our own; what could not stand in a header is none of them.
    let value = HeaderValue::from_str(location).unwrap_or_else(|_| HeaderValue::from_static("/"));
    answer.headers_mut().insert(header::LOCATION, value);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn forms_of_other_sites_are_told_from_ours() {
        let host = ("host", "127.0.0.1:7480");
        for (more, ours) in [
            (("sec-fetch-site", "same-origin"), true),
            (("sec-fetch-site", "cross-site"), false),
            (("sec-fetch-site", "same-site"), false),
            (("sec-fetch-site", "none"), false),
            (("origin", "http://127.0.0.1:7480"), true),
            (("origin", "http://127.0.0.1:7481"), false),
            (("origin", "http://elsewhere.example"), false),
            (("origin", "null"), false),
            (("accept", "*/*"), true),
        ] {
            assert_eq!(comes_from_us(&headers(&[host, more])), ours, "{more:?}");
        }
    }

    #[test]
    fn the_browsers_language_is_taken_until_one_is_chosen() {
        let asked = ("accept-language", "de-DE, uk;q=0.8, en;q=0.5");
        assert_eq!(language(&headers(&[asked])), Lang::Ukrainian);
        let chosen = ("cookie", "__Host-wayhome-language=en");
        assert_eq!(language(&headers(&[asked, chosen])), Lang::English);
        let nonsense = ("cookie", "__Host-wayhome-language=xx");
        assert_eq!(language(&headers(&[nonsense])), Lang::English);
        assert_eq!(language(&headers(&[])), Lang::English);
    }

    #[test]
    fn a_host_is_named_without_its_port() {
        assert_eq!(host("localhost:7480"), "localhost");
        assert_eq!(host("[::1]:7480"), "[::1]");
        assert_eq!(host("[::1]"), "[::1]");
        assert_eq!(host("wayhome.example.org"), "wayhome.example.org");
    }

    #[test]
    fn every_answer_is_protected() {
        let mut bare = HeaderMap::new();
        protect(&mut bare, false);
        assert_eq!(bare[header::CACHE_CONTROL], "no-store");
        assert!(!bare.contains_key("strict-transport-security"));
        let policy = bare["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        let mut kept = headers(&[("cache-control", "max-age=1")]);
        protect(&mut kept, true);
        assert_eq!(kept[header::CACHE_CONTROL], "max-age=1");
        assert!(kept.contains_key("strict-transport-security"));
    }
}

//! Pages and forms, and what no form may forget.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Path, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::frame::{frame, plain, problem_page};
use super::gate::{Visit, html, see};
use super::problem::{Problem, Stop, Wrong};
use super::secrets;
use super::values::{Upload, Values};
use super::view::{Notice, Page, Tone};
use crate::store::StoreError;

/// Largest form without a file, in octets.
const MAX_FORM: usize = 512 * 1024;

/// How long a form may be on its way.
const FORM: Duration = Duration::from_secs(30);

/// How long a form with a file may be on its way.
const FILE: Duration = Duration::from_secs(540);

/// How long what became of a form is remembered, in milliseconds: a double click comes sooner.
const SENT_MS: u64 = 3_600_000;

/// How long a form is kept that came after its session's end, in milliseconds.
const DRAFT_MS: u64 = 3_600_000;

/// How long the second of two equal forms waits for the first.
const WAIT: Duration = Duration::from_millis(100);

/// How often it looks.
const LOOKS: u32 = 150;

/// What is never kept.
const SECRETS: [&str; 4] = ["password", "password-again", "code", "seal"];

/// The parts of a path that are no fixed words.
#[derive(Default)]
pub struct At(HashMap<String, String>);

impl At {
    /// A part by its name; empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// What a form sent, with what is wrong with it. Empty when the page is asked for.
#[derive(Default)]
pub struct Sent {
    /// The values.
    pub values: Values,
    /// The file, if one was sent.
    pub upload: Option<Upload>,
    /// What is wrong with them.
    pub wrong: Wrong,
}

impl Sent {
    /// Whether nothing was sent yet: the page fills the form with what is known.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.values.is_empty()
    }
}

/// What came of a form that was done.
pub struct Done {
    location: String,
    page: Option<Page>,
    cookies: Vec<HeaderValue>,
}

impl Done {
    /// The outcome is shown at another address.
    #[must_use]
    pub fn see(location: impl Into<String>) -> Self {
        Self {
            location: location.into(),
            page: None,
            cookies: Vec::new(),
        }
    }

    /// The outcome is shown once and kept nowhere: a code, a secret.
    #[must_use]
    pub fn page(page: Page) -> Self {
        Self {
            location: String::new(),
            page: Some(page),
            cookies: Vec::new(),
        }
    }

    /// With a cookie.
    #[must_use]
    pub fn cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        self.cookies.extend(cookie);
        self
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        let mut response = see(&self.location);
        for cookie in self.cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// A page that is only read.
pub trait ReadPage: Send + Sync + 'static {
    /// Its path.
    const PATH: &'static str;

    /// The page.
    fn show(visit: &Visit, at: &At) -> impl Future<Output = Result<Page, Problem>> + Send;
}

/// A page with a form.
pub trait FormPage: Send + Sync + 'static {
    /// Its path.
    const PATH: &'static str;

    /// Whether people who are not signed in may see and send it.
    const OPEN: bool = false;

    /// Largest file that it takes, in octets; 0 for none.
    const FILE: usize = 0;

    /// The page, its form filled with what was sent and marked with what is wrong.
    fn show(
        visit: &Visit,
        at: &At,
        sent: &Sent,
    ) -> impl Future<Output = Result<Page, Problem>> + Send;

    /// Does what the form is for.
    fn act(visit: &Visit, at: &At, sent: &Sent) -> impl Future<Output = Result<Done, Stop>> + Send;
}

/// A form that came after its session's end and is given back.
#[derive(Clone)]
pub struct Restored(pub Values);

/// A kept form.
#[derive(Serialize, Deserialize)]
pub struct Draft {
    /// Where it was sent to.
    pub path: String,
    /// What it said.
    pub body: String,
}

/// What became of a form.
#[derive(Serialize, Deserialize)]
struct Outcome {
    location: String,
    cookies: Vec<String>,
}

/// Adds a page that is only read.
pub fn read<P: ReadPage>(routes: Router) -> Router {
    routes.route(P::PATH, get(show_read::<P>))
}

/// Adds a page with a form.
pub fn form<P: FormPage>(routes: Router) -> Router {
    routes.route(P::PATH, get(show_form::<P>).post(send::<P>))
}

type Parts = Option<Path<HashMap<String, String>>>;

fn at(parts: Parts) -> At {
    At(parts.map(|Path(parts)| parts).unwrap_or_default())
}

async fn show_read<P: ReadPage>(Extension(visit): Extension<Visit>, parts: Parts) -> Response {
    if visit.person.is_none() {
        return to_sign_in(&visit).await;
    }
    answer(
        &visit,
        P::show(&visit, &at(parts)).await,
        &Wrong::default(),
        Vec::new(),
    )
    .await
}

async fn show_form<P: FormPage>(Extension(visit): Extension<Visit>, parts: Parts) -> Response {
    if visit.person.is_none() && !P::OPEN {
        return to_sign_in(&visit).await;
    }
    let sent = Sent::default();
    answer(
        &visit,
        P::show(&visit, &at(parts), &sent).await,
        &sent.wrong,
        Vec::new(),
    )
    .await
}

async fn send<P: FormPage>(
    Extension(visit): Extension<Visit>,
    parts: Parts,
    request: Request,
) -> Response {
    let at = at(parts);
    if let Some(Restored(values)) = request.extensions().get::<Restored>().cloned() {
        let sent = Sent {
            values,
            ..Sent::default()
        };
        return again::<P>(&visit, &at, sent, Some("console-restored")).await;
    }
    // Nobody fills this machine's memory with files who has not signed in.
    if P::FILE > 0 && visit.person.is_none() {
        return to_sign_in(&visit).await;
    }
    let (sent, digest) = match receive(request, P::FILE).await {
        Ok(received) => received,
        Err(refusal) => {
            let wrong = plain(visit.lang, refusal.0, refusal.1);
            return wrong;
        }
    };
    let Some(account) = secrets::opened(&visit.secret, sent.values.raw("seal")) else {
        // Of an older session, or of none: it is shown again, and does nothing by itself.
        if visit.person.is_none() && !P::OPEN {
            return to_sign_in(&visit).await;
        }
        return again::<P>(&visit, &at, sent, Some("console-old-form")).await;
    };
    if visit.person.is_none() && !P::OPEN {
        return keep_draft(&visit, account, &sent.values, "/sign-in").await;
    }
    // In a task of its own: the second click of two makes the browser give up the first, and what
    // was begun is finished all the same.
    let lang = visit.lang;
    let doing = tokio::spawn(async move {
        match once::<P>(&visit, &at, sent, &digest).await {
            Ok(response) => response,
            Err(error) => problem_page(&visit, &error.into()),
        }
    });
    match doing.await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a form could not be finished");
            plain(lang, StatusCode::INTERNAL_SERVER_ERROR, "console-failed")
        }
    }
}

/// Does what a form is for: once, however often it comes, if the form can be told from others.
async fn once<P: FormPage>(
    visit: &Visit,
    at: &At,
    mut sent: Sent,
    digest: &[u8],
) -> Result<Response, StoreError> {
    let store = &visit.console.store;
    // The small forms of the header have no number of their own: to choose a language twice is to
    // choose it twice.
    let tag = (!sent.values.raw("once").is_empty()).then(|| {
        let parts = [visit.secret.as_bytes(), visit.here.as_bytes(), digest];
        secrets::tag("sent", &parts)
    });
    let until_ms = visit.now_ms() + SENT_MS;
    if let Some(tag) = &tag
        && !store.keep_first(tag, b"", until_ms).await?
    {
        return outcome_of_first(visit, tag).await;
    }
    match P::act(visit, at, &sent).await {
        Ok(done) => {
            let outcome = Outcome {
                location: done.location.clone(),
                cookies: done
                    .cookies
                    .iter()
                    .filter_map(|cookie| cookie.to_str().ok().map(str::to_owned))
                    .collect(),
            };
            let outcome = Zeroizing::new(serde_json::to_vec(&outcome).unwrap_or_default());
            if let Some(tag) = &tag {
                store.keep_part(tag, 0, &outcome, until_ms).await?;
            }
            if !P::OPEN {
                store
                    .forget_kept(&draft_tag(visit, visit.account()))
                    .await?;
            }
            let mut response = match done.page {
                Some(page) => html(
                    StatusCode::OK,
                    page_with(visit, page, &Wrong::default(), Vec::new()),
                ),
                None => see(&done.location),
            };
            for cookie in done.cookies {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        Err(stop) => {
            if let Some(tag) = &tag {
                store.forget_kept(tag).await?;
            }
            Ok(match stop {
                Stop::Problem(Problem::SignIn) if !P::OPEN => {
                    keep_draft(visit, visit.account(), &sent.values, "/sign-in").await
                }
                Stop::Problem(Problem::SignInAgain) => {
                    keep_draft(visit, visit.account(), &sent.values, "/sign-in/again").await
                }
                Stop::Problem(problem @ (Problem::NotFound | Problem::Role(_))) => {
                    problem_page(visit, &problem)
                }
                Stop::Problem(problem) => {
                    sent.wrong.say("", problem.words(visit.lang));
                    again_as::<P>(visit, at, sent, Vec::new(), problem.status()).await
                }
                Stop::Wrong(wrong) => {
                    sent.wrong = wrong;
                    again::<P>(visit, at, sent, None).await
                }
            })
        }
    }
}

/// The second of two equal forms is answered as the first.
async fn outcome_of_first(visit: &Visit, tag: &[u8; 32]) -> Result<Response, StoreError> {
    for _ in 0..LOOKS {
        let Some(kept) = visit.console.store.kept(tag, 0, visit.now_ms()).await? else {
            // The first was refused meanwhile: its own answer says why.
            break;
        };
        if let Ok(outcome) = serde_json::from_slice::<Outcome>(&kept) {
            if outcome.location.is_empty() {
                break;
            }
            let mut response = see(&outcome.location);
            for cookie in outcome.cookies {
                if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
            }
            return Ok(response);
        }
        tokio::time::sleep(WAIT).await;
    }
    let page = Page::new("", visit.text("console-sent-twice-title"))
        .text(visit.text("console-sent-twice"))
        .back(visit.here.clone(), visit.text("console-back"));
    Ok(html(
        StatusCode::CONFLICT,
        page_with(visit, page, &Wrong::default(), Vec::new()),
    ))
}

async fn again<P: FormPage>(visit: &Visit, at: &At, sent: Sent, notice: Option<&str>) -> Response {
    let notices = notice.map(|id| Notice {
        tone: Tone::Plain,
        title: visit.text("console-notice"),
        text: visit.text(id),
        code: None,
    });
    let status = if notices.is_some() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    again_as::<P>(visit, at, sent, notices.into_iter().collect(), status).await
}

async fn again_as<P: FormPage>(
    visit: &Visit,
    at: &At,
    sent: Sent,
    notices: Vec<Notice>,
    status: StatusCode,
) -> Response {
    let page = P::show(visit, at, &sent).await;
    let mut response = answer(visit, page, &sent.wrong, notices).await;
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    response
}

/// A page as it is sent.
pub async fn answer(
    visit: &Visit,
    page: Result<Page, Problem>,
    wrong: &Wrong,
    notices: Vec<Notice>,
) -> Response {
    match page {
        Ok(page) => html(StatusCode::OK, page_with(visit, page, wrong, notices)),
        Err(Problem::SignIn) => to_sign_in(visit).await,
        Err(problem) => problem_page(visit, &problem),
    }
}

/// A page's whole text, for one that is sent piece by piece.
#[must_use]
pub fn page_text(visit: &Visit, page: Page) -> String {
    page_with(visit, page, &Wrong::default(), Vec::new())
}

fn page_with(visit: &Visit, page: Page, wrong: &Wrong, notices: Vec<Notice>) -> String {
    let mut frame = frame(visit);
    frame.notices = notices;
    super::frame::sealed(visit, page).write(&frame, &wrong.general())
}

/// Sends a reader to sign in, or to set up where nobody has an account yet.
async fn to_sign_in(visit: &Visit) -> Response {
    match visit.console.store.account_count().await {
        Ok(0) => see("/set-up"),
        Ok(_) => see("/sign-in"),
        Err(error) => problem_page(visit, &error.into()),
    }
}

fn draft_tag(visit: &Visit, account: &str) -> [u8; 32] {
    secrets::tag("draft", &[visit.browser.as_bytes(), account.as_bytes()])
}

async fn keep_draft(visit: &Visit, account: &str, values: &Values, then: &str) -> Response {
    let values = values.clone().without(&SECRETS);
    let draft = Draft {
        path: visit.here.clone(),
        body: values.to_urlencoded(),
    };
    let draft = Zeroizing::new(serde_json::to_vec(&draft).unwrap_or_default());
    let kept = visit
        .console
        .store
        .keep_part(
            &draft_tag(visit, account),
            0,
            &draft,
            visit.now_ms() + DRAFT_MS,
        )
        .await;
    match kept {
        Ok(()) => see(then),
        Err(error) => problem_page(visit, &error.into()),
    }
}

/// The form that an account sent from this browser after its session's end.
///
/// # Errors
/// If the store fails.
pub async fn draft_of(visit: &Visit, account: &str) -> Result<Option<Draft>, StoreError> {
    let tag = draft_tag(visit, account);
    let kept = visit.console.store.kept(&tag, 0, visit.now_ms()).await?;
    Ok(kept.and_then(|kept| serde_json::from_slice(&kept).ok()))
}

/// Gives the person the form back that was kept for them.
pub async fn go_on(Extension(visit): Extension<Visit>) -> Response {
    if visit.person.is_none() {
        return to_sign_in(&visit).await;
    }
    let draft = match draft_of(&visit, visit.account()).await {
        Ok(Some(draft)) => draft,
        Ok(None) => return see("/"),
        Err(error) => return problem_page(&visit, &error.into()),
    };
    let (Some(routes), Ok(values)) = (
        visit.console.pages.get().cloned(),
        Values::from_urlencoded(draft.body.as_bytes()),
    ) else {
        return see("/");
    };
    let request = Request::post(draft.path.as_str()).body(Body::empty());
    let Ok(mut request) = request else {
        return see("/");
    };
    let visit = Visit {
        here: draft.path,
        ..visit
    };
    request.extensions_mut().insert(visit);
    request.extensions_mut().insert(Restored(values));
    match tower::ServiceExt::oneshot(routes, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

type Received = (Sent, Vec<u8>);

async fn receive(
    request: Request,
    largest_file: usize,
) -> Result<Received, (StatusCode, &'static str)> {
    const MALFORMED: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "console-malformed");
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let limit = if largest_file > 0 {
        largest_file + MAX_FORM
    } else {
        MAX_FORM
    };
    let patience = if largest_file > 0 { FILE } else { FORM };
    let body: Bytes = tokio::time::timeout(patience, to_bytes(request.into_body(), limit))
        .await
        .map_err(|_| (StatusCode::REQUEST_TIMEOUT, "console-malformed"))?
        .map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, "console-too-large"))?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &body);
    let digest = digest.as_ref().to_vec();
    let mut sent = Sent::default();
    if let Some(boundary) = content_type.strip_prefix("multipart/form-data; boundary=") {
        if largest_file == 0 {
            return Err(MALFORMED);
        }
        let boundary = boundary.trim_matches('"');
        (sent.values, sent.upload) =
            Values::from_multipart(&body, boundary).map_err(|_| MALFORMED)?;
    } else {
        sent.values = Values::from_urlencoded(&body).map_err(|_| MALFORMED)?;
    }
    Ok((sent, digest))
}

/// A fixed file of the program.
pub fn file(content_type: &'static str, content: &'static str) -> Response {
    let mut answer = content.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Its name holds its digest: another content has another name.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    answer
}

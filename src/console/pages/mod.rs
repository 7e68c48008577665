//! The pages.

mod audit;
mod cases;
mod home;
mod import;
mod inbox;
mod members;
mod people;
mod register;
mod review;
mod search;
mod sign_in;
mod sure;
mod ways;

use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;

pub use home::{Counted, Reached, count};
pub use register::Publishing;

use super::forms::{form, go_on, read};
use super::frame::problem_page;
use super::gate::{Visit, pass};
use super::problem::Problem;
use super::{Console, assets};

/// All pages, behind the gate.
pub fn routes(console: &Arc<Console>) -> Router {
    let mut routes = Router::new();
    routes = form::<sign_in::SetUp>(routes);
    routes = form::<sign_in::Claim>(routes);
    routes = form::<sign_in::SignIn>(routes);
    routes = form::<sign_in::SignInAgain>(routes);
    routes = form::<ways::PasskeySignIn>(routes);
    routes = routes.route("/sign-in/provider", get(ways::to_provider));
    routes = routes.route(ways::BACK, get(ways::from_provider));
    routes = form::<ways::OwnAccount>(routes);
    routes = form::<sign_in::SignOut>(routes);
    routes = form::<sign_in::Language>(routes);
    routes = routes.route("/continue", get(go_on));
    routes = read::<home::Home>(routes);
    routes = form::<people::People>(routes);
    routes = form::<people::Somebody>(routes);
    routes = form::<search::Search>(routes);
    routes = routes.route("/searches/{search}", get(search::answers));
    routes = read::<cases::Cases>(routes);
    routes = form::<cases::Case>(routes);
    routes = form::<cases::Ask>(routes);
    routes = form::<cases::AskedPage>(routes);
    routes = read::<inbox::Inbox>(routes);
    routes = read::<inbox::AllRequests>(routes);
    routes = form::<inbox::RequestPage>(routes);
    routes = form::<register::Register>(routes);
    routes = form::<register::RegisterAfter>(routes);
    routes = form::<register::Enter>(routes);
    routes = form::<import::Upload>(routes);
    routes = form::<import::Check>(routes);
    routes = routes.route("/register/import/{upload}/rejects", get(import::rejects));
    routes = form::<register::RecordPage>(routes);
    routes = form::<register::Correct>(routes);
    routes = read::<review::Review>(routes);
    routes = read::<review::Finding>(routes);
    routes = form::<review::Alerts>(routes);
    routes = form::<audit::Audit>(routes);
    routes = form::<members::Members>(routes);
    routes = read::<members::Settings>(routes);
    routes = routes.fallback(nowhere);
    // For a form that is given back: the visit is known already.
    let _ = console.pages.set(routes.clone());
    assets::serve(routes).layer(from_fn_with_state(Arc::clone(console), pass))
}

async fn nowhere(visit: Option<Extension<Visit>>) -> Response {
    match visit {
        Some(Extension(visit)) => problem_page(&visit, &Problem::NotFound),
        None => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

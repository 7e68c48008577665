//! The console: the pages with which a member's own people work, in a browser and in their language.
//!
//! It is a client of the operator API: it calls the same services that the socket offers, in the same
//! process, as the person who is signed in. So a ministry's own system can do all that the console
//! does, and who may do what is decided in one place, below both. Beside that it keeps its own forms
//! and uploads, sealed, in the node's database, and reads a file that is brought in by itself, as the
//! commands do.
//!
//! Every form of the console is a `FormPage` (`forms`). What no form may forget is done
//! there, for all: that it was shown by this console to this person, that a double click acts once,
//! that what was typed comes back when something is wrong or the session has ended.
//!
//! Pages work without any script. No page names another host; the little script that there is only
//! helps.

mod assets;
mod chart;
mod forms;
mod frame;
mod gate;
mod listen;
mod pages;
mod problem;
mod qr;
mod secrets;
mod values;
mod view;
mod words;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use tokio::sync::Semaphore;

pub use listen::{Door, DoorError};

use crate::ambient::Ambient;
use crate::node::{OperatorApi, Running};
use crate::proto::operator as pb;
use crate::proto::operator::node_service_client::NodeServiceClient;
use crate::store::Store;

/// How many passwords are hashed at once: each takes 19 MiB.
const HASHING: usize = 4;

/// The console of one node.
pub struct Console {
    api: OperatorApi,
    store: Store,
    ambient: Ambient,
    /// The member whose node this is.
    member: String,
    /// Names under which browsers may call it.
    hosts: Vec<String>,
    /// Whether it speaks TLS itself.
    tls: bool,
    hashing: Semaphore,
    refused: Mutex<HashMap<IpAddr, gate::Refusals>>,
    reached: Mutex<pages::Reached>,
    counted: Mutex<pages::Counted>,
    /// Names of the coalition's parties, by their ids.
    parties: Mutex<HashMap<String, String>>,
    publishing: Mutex<pages::Publishing>,
    /// The pages behind the gate, for a form that is given back.
    pages: OnceLock<Router>,
}

/// What is behind a lock. Nothing that is kept here is half written when a holder panics.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the console of a running node until the node stops.
pub async fn serve(door: Door, running: Running, ambient: Ambient) {
    let status = NodeServiceClient::new(running.api.as_person(None))
        .get_status(pb::GetStatusRequest {})
        .await;
    let member = status.map_or_else(
        |_| String::new(),
        |status| status.into_inner().member.to_uppercase(),
    );
    let console = Arc::new(Console {
        api: running.api,
        store: running.store,
        ambient,
        member,
        hosts: door.hosts(),
        tls: door.is_tls(),
        hashing: Semaphore::new(HASHING),
        refused: Mutex::default(),
        reached: Mutex::default(),
        counted: Mutex::default(),
        parties: Mutex::default(),
        publishing: Mutex::default(),
        pages: OnceLock::new(),
    });
    if let Err(problem) = pages::count(&console, console.api.as_person(None)).await {
        tracing::warn!(?problem, "the node could not be asked how it is");
    }
    let routes = pages::routes(&console);
    listen::accept(door, routes, running.stopped).await;
}

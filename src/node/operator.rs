//! The operator API: a member's own people and systems at their own node, over a socket that only
//! the node's user can open, and over the network where `[operator]` of `node.toml` says so.

mod accounts;
mod activity;
mod backup;
pub(super) mod cases;
mod ceremony;
mod disclosure;
mod duty;
mod keys;
mod log;
mod membership;
mod policy;
mod protection;
mod quota;
mod records;
mod register;
mod remote;
mod requests;
mod review;
mod search;
mod sign_in;
mod status;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint, Server, Uri};

pub use remote::{RemoteDoor, RemoteError};

use super::accounts::Ways;
use super::ceremonies::Ceremonies;
use super::keys::KeyKeeper;
use super::membership::Membership;
use super::rounds::Rounds;
use crate::exchange::{Party, PeerError, RemoteRefusal};
use crate::proto::operator::account_service_server::AccountServiceServer;
use crate::proto::operator::backup_service_server::BackupServiceServer;
use crate::proto::operator::case_service_server::CaseServiceServer;
use crate::proto::operator::ceremony_service_server::CeremonyServiceServer;
use crate::proto::operator::disclosure_service_server::DisclosureServiceServer;
use crate::proto::operator::key_service_server::KeyServiceServer;
use crate::proto::operator::log_service_server::LogServiceServer;
use crate::proto::operator::membership_service_server::MembershipServiceServer;
use crate::proto::operator::node_service_server::NodeServiceServer;
use crate::proto::operator::policy_service_server::PolicyServiceServer;
use crate::proto::operator::protection_service_server::ProtectionServiceServer;
use crate::proto::operator::quota_service_server::QuotaServiceServer;
use crate::proto::operator::record_service_server::RecordServiceServer;
use crate::proto::operator::register_search_service_server::RegisterSearchServiceServer;
use crate::proto::operator::request_service_server::RequestServiceServer;
use crate::proto::operator::review_service_server::ReviewServiceServer;
use crate::proto::operator::search_service_server::SearchServiceServer;
use crate::proto::operator::sign_in_service_server::SignInServiceServer;
use crate::records::{Column, FIELDS, ReadingRules, Record, RecordRef};
use crate::store::StoreError;

/// Largest message of an operator, in octets: a part of an import has 500 records, a search 1,000.
pub const MAX_OPERATOR_MESSAGE: usize = 64 << 20;

/// What the services for operators work with.
pub struct OperatorParts {
    /// The node as a party.
    pub party: Arc<Party>,
    /// Its roster.
    pub membership: Arc<Membership>,
    /// Its looks at other logs.
    pub rounds: Arc<Rounds>,
    /// Its ceremonies.
    pub ceremonies: Arc<Ceremonies>,
    /// Turns true when the node stops.
    pub stopped: watch::Receiver<bool>,
    /// Its keys at rest, and the directory that they are in.
    pub keeper: Arc<KeyKeeper>,
    /// How its people sign in beside password and code.
    pub ways: Arc<Ways>,
}

/// The services for operators.
#[derive(Clone)]
pub struct Operator {
    party: Arc<Party>,
    membership: Arc<Membership>,
    rounds: Arc<Rounds>,
    ceremonies: Arc<Ceremonies>,
    stopped: watch::Receiver<bool>,
    keeper: Arc<KeyKeeper>,
    ways: Arc<Ways>,
    /// One search for the whole register at a time.
    searching: Arc<tokio::sync::Mutex<()>>,
    counted: Arc<tokio::sync::Mutex<activity::Activity>>,
}

impl Operator {
    /// The services of one party.
    #[must_use]
    pub fn new(parts: OperatorParts) -> Self {
        Self {
            party: parts.party,
            membership: parts.membership,
            rounds: parts.rounds,
            ceremonies: parts.ceremonies,
            stopped: parts.stopped,
            keeper: parts.keeper,
            ways: parts.ways,
            searching: Arc::default(),
            counted: Arc::default(),
        }
    }

    /// All services on one server.
    #[must_use]
    pub fn routes(self) -> Router {
        Server::builder().add_routes(self.services())
    }

    fn services(self) -> Routes {
        Routes::new(
            RecordServiceServer::new(self.clone()).max_decoding_message_size(MAX_OPERATOR_MESSAGE),
        )
        .add_service(
            SearchServiceServer::new(self.clone()).max_decoding_message_size(MAX_OPERATOR_MESSAGE),
        )
        .add_service(RegisterSearchServiceServer::new(self.clone()))
        .add_service(DisclosureServiceServer::new(self.clone()))
        .add_service(ReviewServiceServer::new(self.clone()))
        .add_service(MembershipServiceServer::new(self.clone()))
        .add_service(QuotaServiceServer::new(self.clone()))
        .add_service(ProtectionServiceServer::new(self.clone()))
        .add_service(LogServiceServer::new(self.clone()))
        .add_service(PolicyServiceServer::new(self.clone()))
        .add_service(RequestServiceServer::new(self.clone()))
        .add_service(AccountServiceServer::new(self.clone()))
        .add_service(SignInServiceServer::new(self.clone()))
        .add_service(CaseServiceServer::new(self.clone()))
        .add_service(CeremonyServiceServer::new(self.clone()))
        .add_service(KeyServiceServer::new(self.clone()))
        .add_service(BackupServiceServer::new(self.clone()))
        .add_service(NodeServiceServer::new(self))
    }
}

/// A channel to the node whose socket is at `socket`.
///
/// # Errors
/// If no node listens there.
pub async fn client(socket: &Path) -> Result<Channel, RemoteRefusal> {
    let path = socket.to_owned();
    Endpoint::from_static("http://operator.wayhome.internal")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|_| RemoteRefusal {
            code: "NODE_NOT_RUNNING".to_owned(),
            message: format!(
                "no node is running at {}: start it with `wayhome --dir DIR run`, or say with --dir where it is",
                socket.display()
            ),
            leaf_index: None,
            retryable: true,
        })
}

/// A channel to the node as one person: every call carries their session.
pub type OperatorChannel = InterceptedService<Channel, AsPerson>;

/// The operator API of a node in the same process. Calls go through the same services, and so
/// through the same checks, as those that come over the socket.
#[derive(Clone)]
pub struct OperatorApi(Routes);

/// The operator API as one person.
pub type InProcess = InterceptedService<Routes, AsPerson>;

impl OperatorApi {
    pub(super) fn new(operator: Operator) -> Self {
        Self(operator.services().prepare())
    }

    /// The API for the person with this session, or for whoever has none.
    #[must_use]
    pub fn as_person(&self, token: Option<&str>) -> InProcess {
        InterceptedService::new(self.0.clone(), as_person(token))
    }
}

fn as_person(token: Option<&str>) -> AsPerson {
    AsPerson(token.and_then(|token| {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse().ok()?;
        value.set_sensitive(true);
        Some(value)
    }))
}

/// Adds a session's token to each call, if there is one.
#[derive(Clone)]
pub struct AsPerson(Option<MetadataValue<Ascii>>);

impl Interceptor for AsPerson {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// As [`client`], with the token of a session.
///
/// # Errors
/// If no node listens there.
pub async fn client_as(
    socket: &Path,
    token: Option<&str>,
) -> Result<OperatorChannel, RemoteRefusal> {
    let channel = client(socket).await?;
    Ok(InterceptedService::new(channel, as_person(token)))
}

/// An error of the exchange as the member's own people are told of it: whole.
fn told(error: &PeerError) -> Status {
    refused(tonic::Code::Aborted, error.code(), &error.to_string())
}

fn store_failed(error: &StoreError) -> Status {
    tracing::error!(%error, "the database failed an operator's request");
    refused(tonic::Code::Internal, "STORE_FAILED", &error.to_string())
}

fn invalid(code: &str, message: &str) -> Status {
    refused(tonic::Code::InvalidArgument, code, message)
}

fn refused(status: tonic::Code, code: &str, message: &str) -> Status {
    use tonic_types::{ErrorDetails, StatusExt as _};
    let details = ErrorDetails::with_error_info(code, crate::exchange::DOMAIN, HashMap::new());
    Status::with_error_details(status, message, details)
}

/// How many entries of a list are given: as many as asked for, 100 if that is not said, at most 1,000.
fn page_size(asked: u32) -> u32 {
    match asked {
        0 => 100,
        asked => asked.min(1_000),
    }
}

/// Fields by their names.
fn columns(names: &[String]) -> Result<Vec<Column>, Status> {
    names.iter().map(|name| column(name)).collect()
}

fn column(name: &str) -> Result<Column, Status> {
    Column::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        let names = names.join(", ");
        invalid(
            "UNKNOWN_FIELD",
            &format!("there is no field called {name:?}: write {names}"),
        )
    })
}

fn no_such_record() -> Status {
    refused(
        tonic::Code::NotFound,
        "NO_SUCH_RECORD",
        "the register holds no record with that reference: see `wayhome records list`",
    )
}

/// A record as the operator API has it.
fn fields(record: &Record) -> HashMap<String, String> {
    record
        .fields()
        .map(|(column, text)| (column.name().to_owned(), text.expose().clone()))
        .collect()
}

/// A record of the operator API, read by the same rules as an imported one.
fn record(fields: &HashMap<String, String>) -> Result<Record, Status> {
    let record_ref = fields
        .get(Column::RecordRef.name())
        .map_or("search", String::as_str);
    let record_ref = RecordRef::new(record_ref)
        .map_err(|error| invalid("RECORD_REF", &format!("record_ref: {error}")))?;
    let mut record = Record::new(record_ref);
    let rules = ReadingRules::default();
    for (name, text) in fields {
        let column = column(name)?;
        if column == Column::RecordRef {
            continue;
        }
        record
            .set(column, text, &rules)
            .map_err(|error| invalid("FIELD", &format!("{name}: {error}")))?;
    }
    Ok(record)
}

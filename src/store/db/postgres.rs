//! PostgreSQL: a server, which several processes of one node may share.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions,
    PgTypeInfo, Postgres,
};
use sqlx::{ConnectOptions as _, Encode, Executor, Row as _, SqlSafeStr, Transaction, Type};

use super::{Inner, Kind, Row, Value};
use crate::store::StoreError;

/// One writing connection, so that the writers of a process queue here, in order, and hold no
/// connection while they wait; several readers.
#[derive(Clone)]
pub(super) struct PostgresPools {
    writer: PgPool,
    pub(super) readers: PgPool,
    /// How many connections the writer's place has had.
    sessions: Arc<AtomicU64>,
    /// A standby, where the address names several servers.
    aside: Option<Aside>,
}

/// A standby, from which is read what never changes once it is there.
#[derive(Clone)]
struct Aside {
    pool: PgPool,
    /// Whether there is one at this time. Lives as long as these pools are used.
    there: Arc<AtomicBool>,
}

const READERS: u32 = 8;

/// Connections to a standby.
const ASIDE: u32 = 4;

/// How long a caller waits for a connection before it is told that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a commit is waited for.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked whether another of several servers is the primary now, and how long one
/// of them may take to say so.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// The oldest server this program is tested with, as `server_version_num` states it.
const OLDEST: i32 = 140_000;

/// Identifies the lock under which one process at a time brings the schema up to date: the first
/// octets of "wayhome".
const MIGRATION_LOCK: i64 = 0x7761_7968_6f6d;

impl PostgresPools {
    pub(super) async fn open(address: &str) -> Result<Self, StoreError> {
        let servers = servers(address)?;
        let several = servers.len() > 1;
        let current = first_primary(&servers).await?;
        let options = servers[current].clone();
        let location = location(&options);
        let opening = |error: sqlx::Error| StoreError::Open {
            location: location.clone(),
            reason: error.to_string(),
            remedy: remedy(&error),
        };
        let pool = |sessions: Arc<AtomicU64>| {
            PgPoolOptions::new()
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .after_connect(move |connection, _| {
                    sessions.fetch_add(1, Ordering::AcqRel);
                    Box::pin(async move {
                        if several && in_recovery(connection).await? {
                            return Err(sqlx::Error::Protocol("it is a standby".to_owned()));
                        }
                        // An answer rests on its commit being on the disk. A server that waits for
                        // its standbys besides goes on doing so.
                        connection
                            .execute(
                                "SELECT set_config('synchronous_commit', 'on', false)
                                 WHERE current_setting('synchronous_commit') IN ('off', 'local')",
                            )
                            .await
                            .map(|_| ())
                    })
                })
        };
        let sessions = Arc::<AtomicU64>::default();
        let writer = pool(Arc::clone(&sessions))
            .max_connections(1)
            // A new session is a new term (`sequencer`): it is not changed without need.
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(options.clone())
            .await
            .map_err(&opening)?;
        let readers = pool(Arc::default())
            .max_connections(READERS)
            .connect_with(options)
            .await
            .map_err(&opening)?;
        let aside = several.then(|| Aside {
            pool: PgPoolOptions::new()
                .max_connections(ASIDE)
                .acquire_timeout(LOOK_TIMEOUT)
                .connect_lazy_with(servers[current].clone()),
            there: Arc::default(),
        });
        if let Some(aside) = &aside {
            tokio::spawn(follow(Followed {
                primary: [writer.clone(), readers.clone()],
                standby: aside.pool.clone(),
                there: Arc::downgrade(&aside.there),
                servers,
                roles: (current, None),
            }));
        }
        Ok(Self {
            writer,
            readers,
            sessions,
            aside,
        })
    }

    pub(super) async fn close(&self) {
        if let Some(aside) = &self.aside {
            aside.pool.close().await;
        }
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Reads from a standby, if there is one; nothing if there is none, or it fails.
    pub(super) async fn fetch_aside(
        &self,
        name: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Option<Vec<Row>> {
        let aside = self.aside.as_ref()?;
        if !aside.there.load(Ordering::Relaxed) {
            return None;
        }
        fetch(&aside.pool, name, sql, values).await.ok()
    }

    /// Begins a writing transaction, and says in which session.
    ///
    /// The lock is taken by a command that takes no snapshot, so the transaction's snapshot, which
    /// its first statement takes, already shows what the writer before has committed.
    pub(super) async fn begin(
        &self,
        name: &'static str,
    ) -> Result<(Transaction<'static, Postgres>, u64), StoreError> {
        let mut tx = self
            .writer
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
            .await
            .map_err(|error| failed(name, &error))?;
        (*tx)
            .execute("LOCK TABLE writer IN EXCLUSIVE MODE")
            .await
            .map_err(|error| failed(name, &error))?;
        // There is one connection, and this transaction has it: no other can be made meanwhile.
        Ok((tx, self.sessions.load(Ordering::Acquire)))
    }

    pub(super) async fn begin_reading(
        &self,
        name: &'static str,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.readers
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(|error| failed(name, &error))
    }

    pub(super) async fn begin_migration(
        &self,
        name: &'static str,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut tx = self
            .writer
            .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
            .await
            .map_err(|error| failed(name, &error))?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *tx)
            .await
            .map_err(|error| failed(name, &error))?;
        Ok(tx)
    }
}

/// The servers that an address names: one, or a list of hosts as libpq takes it
/// (`postgres://USER@ONE:5432,TWO:5432/DATABASE`), of which one is the primary.
fn servers(address: &str) -> Result<Vec<PgConnectOptions>, StoreError> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts
        .split(',')
        .map(|host| {
            let options = PgConnectOptions::from_str(&format!("{scheme}://{user}{host}{path}"))
                .map_err(|_| StoreError::Open {
                    location: "postgres://".to_owned(),
                    // The driver's own words might hold the password.
                    reason: "the address cannot be read".to_owned(),
                    remedy: "write it as postgres://USER@HOST:PORT/DATABASE, with further HOST:PORT \
                             after commas, or postgres:///DATABASE?host=/run/postgresql&user=USER \
                             for a socket",
                })?;
            Ok(options
                .application_name("wayhome")
                .options([
                    // A process that is stopped while it holds the writer's place must not hold up
                    // the others: the server ends its transaction.
                    ("idle_in_transaction_session_timeout", "5s"),
                    ("lock_timeout", "20s"),
                    ("statement_timeout", "600s"),
                    // Nested loops over keys are always right for these statements.
                    ("jit", "off"),
                ])
                .disable_statement_logging())
        })
        .collect()
}

async fn in_recovery(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query("SELECT pg_is_in_recovery()")
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// The first server that takes writes, or the only one, whatever it takes. Each is connected to by
/// itself: a pool would try one that is not there until its time-out, and tell less.
async fn first_primary(servers: &[PgConnectOptions]) -> Result<usize, StoreError> {
    let mut first_error = None;
    for (number, options) in servers.iter().enumerate() {
        let looked = match tokio::time::timeout(ACQUIRE_TIMEOUT, look_at(options)).await {
            Ok(looked) => looked,
            // One that does not answer holds up nobody who has another.
            Err(_) => Err(StoreError::Open {
                location: location(options),
                reason: "it did not answer in time".to_owned(),
                remedy: remedy(&sqlx::Error::PoolTimedOut),
            }),
        };
        match looked {
            Ok(standby) if !standby || servers.len() == 1 => return Ok(number),
            Ok(_) => {
                first_error.get_or_insert(StoreError::Open {
                    location: location(options),
                    reason: "it is a standby, and none of the others takes writes".to_owned(),
                    remedy: "have one of the servers promoted, or name the primary too",
                });
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| StoreError::Open {
        location: "postgres://".to_owned(),
        reason: "the address names no server".to_owned(),
        remedy: "write it as postgres://USER@HOST:PORT/DATABASE",
    }))
}

/// Whether a server is there, is new enough, and is a standby.
async fn look_at(options: &PgConnectOptions) -> Result<bool, StoreError> {
    let opening = |error: sqlx::Error| StoreError::Open {
        location: location(options),
        reason: error.to_string(),
        remedy: remedy(&error),
    };
    let mut connection = options.connect().await.map_err(opening)?;
    let version: i32 = sqlx::query("SELECT current_setting('server_version_num')::int4")
        .fetch_one(&mut connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(opening)?;
    let standby = in_recovery(&mut connection).await.map_err(opening)?;
    sqlx::Connection::close(connection).await.map_err(opening)?;
    if version < OLDEST {
        return Err(StoreError::Open {
            location: location(options),
            reason: format!("its server is PostgreSQL {}", version / 10_000),
            remedy: "upgrade the server to PostgreSQL 14 or newer",
        });
    }
    Ok(standby)
}

/// Servers of which one is the primary, and who connects to them.
struct Followed {
    primary: [PgPool; 2],
    standby: PgPool,
    there: Weak<AtomicBool>,
    servers: Vec<PgConnectOptions>,
    /// Which is the primary, and which the standby that is read from.
    roles: (usize, Option<usize>),
}

/// Directs new connections to whichever server is the primary, and to a standby, until nobody uses
/// the pools. Connections to a primary that no longer is one end with it: a server becomes a standby by
/// being started anew.
async fn follow(mut followed: Followed) {
    let mut held: [Option<PgConnection>; 2] = [None, None];
    while !followed.primary[0].is_closed() {
        let Some(there) = followed.there.upgrade() else {
            return;
        };
        let (primary, standby) = followed.roles;
        let [on_primary, on_standby] = &mut held;
        let stands = still(on_primary, &followed.servers[primary], false).await
            && match standby {
                Some(standby) => still(on_standby, &followed.servers[standby], true).await,
                None => false,
            };
        if !stands {
            held = [None, None];
            let mut found = (None, None);
            for (number, options) in followed.servers.iter().enumerate() {
                match tokio::time::timeout(LOOK_TIMEOUT, look_at(options)).await {
                    Ok(Ok(false)) => found.0 = found.0.or(Some(number)),
                    Ok(Ok(true)) => found.1 = found.1.or(Some(number)),
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            if let Some(now) = found.0
                && now != primary
            {
                let options = &followed.servers[now];
                tracing::warn!(server = %location(options), "this database server is the primary now");
                for pool in &followed.primary {
                    pool.set_connect_options(options.clone());
                }
                followed.roles.0 = now;
            }
            if let Some(now) = found.1
                && found.1 != standby
            {
                followed
                    .standby
                    .set_connect_options(followed.servers[now].clone());
            }
            followed.roles.1 = found.1;
            there.store(found.1.is_some(), Ordering::Relaxed);
        }
        drop(there);
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a server still is what it was, asked over a connection that is kept.
async fn still(held: &mut Option<PgConnection>, options: &PgConnectOptions, standby: bool) -> bool {
    let looked = tokio::time::timeout(LOOK_TIMEOUT, async {
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => options.connect().await?,
        };
        let found = in_recovery(&mut connection).await?;
        *held = Some(connection);
        Ok::<bool, sqlx::Error>(found == standby)
    });
    matches!(looked.await, Ok(Ok(true)))
}

/// Host and database, without user or password.
fn location(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("(default)");
    match options.get_socket() {
        Some(socket) => format!("{database} at {}", socket.display()),
        None => format!(
            "{database} at {}:{}",
            options.get_host(),
            options.get_port()
        ),
    }
}

pub(super) async fn fetch<'c>(
    on: impl Executor<'c, Database = Postgres>,
    name: &'static str,
    sql: impl SqlSafeStr,
    values: Vec<Value>,
) -> Result<Vec<Row>, StoreError> {
    bound(sqlx::query(sql), values)
        .fetch_all(on)
        .await
        .map(|rows| rows.into_iter().map(Inner::Postgres).map(Row).collect())
        .map_err(|error| failed(name, &error))
}

pub(super) async fn execute<'c>(
    on: impl Executor<'c, Database = Postgres>,
    name: &'static str,
    sql: impl SqlSafeStr,
    values: Vec<Value>,
) -> Result<u64, StoreError> {
    bound(sqlx::query(sql), values)
        .execute(on)
        .await
        .map(|result| result.rows_affected())
        .map_err(|error| failed(name, &error))
}

/// Commits. A server that waits for a standby is not waited for without end; what became of the
/// commit is not known then.
pub(super) async fn commit(
    tx: Transaction<'static, Postgres>,
    name: &'static str,
) -> Result<(), StoreError> {
    match tokio::time::timeout(COMMIT_TIMEOUT, tx.commit()).await {
        Ok(outcome) => outcome.map_err(|error| failed(name, &error)),
        Err(_) => Err(StoreError::Away {
            transaction: name,
            reason: format!("it was not confirmed within {} s", COMMIT_TIMEOUT.as_secs()),
            remedy: "if the server waits for a standby (synchronous_standby_names), check that one \
                     follows; else check the server's disk",
        }),
    }
}

/// Puts rows into a table by a statement that takes one array for each column.
pub(super) async fn insert<'c>(
    on: impl Executor<'c, Database = Postgres>,
    name: &'static str,
    sql: &'static str,
    kinds: impl Iterator<Item = Kind>,
    rows: Vec<Vec<Value>>,
) -> Result<(), StoreError> {
    let mut columns: Vec<Column> = kinds.map(|kind| Column::new(kind, rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value).map_err(|reason| StoreError::Statement {
                transaction: name,
                reason: reason.to_owned(),
            })?;
        }
    }
    let query = columns
        .into_iter()
        .fold(sqlx::query(sql), |query, column| match column {
            Column::Ints(values) => query.bind(values),
            Column::Blobs(values) => query.bind(values),
            Column::Texts(values) => query.bind(values),
        });
    query
        .execute(on)
        .await
        .map(drop)
        .map_err(|error| failed(name, &error))
}

/// Reads by a statement that takes one array of keys.
pub(super) async fn fetch_among<'c>(
    on: impl Executor<'c, Database = Postgres>,
    name: &'static str,
    sql: &'static str,
    keys: Vec<Vec<u8>>,
) -> Result<Vec<Row>, StoreError> {
    sqlx::query(sql)
        .bind(keys)
        .fetch_all(on)
        .await
        .map(|rows| rows.into_iter().map(Inner::Postgres).map(Row).collect())
        .map_err(|error| failed(name, &error))
}

/// The values of one column.
enum Column {
    Ints(Vec<Option<i64>>),
    Blobs(Vec<Option<Vec<u8>>>),
    Texts(Vec<Option<String>>),
}

impl Column {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Int => Self::Ints(Vec::with_capacity(rows)),
            Kind::Blob => Self::Blobs(Vec::with_capacity(rows)),
            Kind::Text => Self::Texts(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), &'static str> {
        match (self, value) {
            (Self::Ints(values), Value::Int(value)) => values.push(Some(value)),
            (Self::Ints(values), Value::Null) => values.push(None),
            (Self::Blobs(values), Value::Blob(value)) => values.push(Some(value)),
            (Self::Blobs(values), Value::Null) => values.push(None),
            (Self::Texts(values), Value::Text(value)) => values.push(Some(value)),
            (Self::Texts(values), Value::Null) => values.push(None),
            _ => return Err("a value is of another kind than its column"),
        }
        Ok(())
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

fn bound(mut query: Query<'static>, values: Vec<Value>) -> Query<'static> {
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Null => query.bind(Null),
        };
    }
    query
}

/// Nothing, of whatever type the statement has at that place.
struct Null;

impl Type<Postgres> for Null {
    fn type_info() -> PgTypeInfo {
        // Zero leaves the type to the server.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Null {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

pub(super) fn failed(transaction: &'static str, error: &sqlx::Error) -> StoreError {
    let away = match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_away(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => true,
        _ => false,
    };
    let reason = message(error);
    if away {
        StoreError::Away {
            transaction,
            reason,
            remedy: remedy(error),
        }
    } else {
        StoreError::Statement {
            transaction,
            reason,
        }
    }
}

/// What the server says, without its details, which may repeat values.
fn message(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} ({code})", error.message()),
            None => error.message().to_owned(),
        },
        other => other.to_string(),
    }
}

/// Whether a state of the server means that it may work again later, without a change here:
/// connection lost, out of resources, being shut down, a standby in its place, a lock not had.
fn is_away(code: &str) -> bool {
    matches!(&code[..code.len().min(2)], "08" | "53" | "57" | "58" | "40")
        || matches!(code, "25006" | "25P03" | "55P03")
}

/// What to do, by the server's SQLSTATE (PostgreSQL, appendix A) or the kind of failure.
fn remedy(error: &sqlx::Error) -> &'static str {
    let code = match error {
        sqlx::Error::Database(error) => error.code().unwrap_or_default().into_owned(),
        sqlx::Error::Io(_) => {
            return "check that PostgreSQL runs and listens there, and that the address, the port \
                    and the firewall are right";
        }
        sqlx::Error::Tls(_) => {
            return "check the server's certificate, and sslmode and sslrootcert in the address";
        }
        sqlx::Error::PoolTimedOut => {
            return "the server did not answer in time: check that it runs and is not overloaded";
        }
        _ => return "check the server's own log",
    };
    match code.as_str() {
        "28P01" | "28000" => {
            "check the user and its password: set PGPASSWORD, or write ~/.pgpass, and see pg_hba.conf"
        }
        "3D000" => "create it: createdb --owner USER DATABASE",
        "42501" => "make the node's user the owner of the database: ALTER DATABASE ... OWNER TO",
        "53100" => "the server's disk is full: free space; the node goes on by itself then",
        "53300" => "raise max_connections: each process of the node uses up to 9",
        "25006" => {
            "this server is a standby: name the primary too, as in postgres://USER@ONE,TWO/DATABASE"
        }
        "57P03" => "the server is starting or shutting down: wait",
        "55P03" | "25P03" => {
            "another process of this node holds the writer's place: check that none is stopped"
        }
        _ => "check the server's own log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(address: &str) -> Vec<String> {
        servers(address).unwrap().iter().map(location).collect()
    }

    #[test]
    fn an_address_names_one_server_or_several() {
        assert_eq!(hosts("postgres://u@one:5433/d"), ["d at one:5433"]);
        assert_eq!(
            hosts("postgres://u:p%40,q@one:5433,two,three:1/d?sslmode=require"),
            ["d at one:5433", "d at two:5432", "d at three:1"]
        );
        assert_eq!(
            hosts("postgresql://u@%2Frun%2Fa,%2Frun%2Fb/d"),
            ["d at /run/a", "d at /run/b"]
        );
        assert_eq!(
            hosts("postgres:///d?host=/run/postgresql&user=u"),
            ["d at /run/postgresql"]
        );
        for wrong in [
            "postgres://u:secret-word@,/d",
            "postgres://u:secret-word@one:99999/d",
            "postgres://u:secret-word@one,two:x/d",
        ] {
            let error = servers(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret-word"), "{error}");
        }
    }
}

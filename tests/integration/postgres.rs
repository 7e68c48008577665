//! One real PostgreSQL server for all tests of this binary, which ends with it.

use std::sync::OnceLock;

use wayhome::demo::PostgresServer;

/// The server. Each test makes a database of its own in it.
pub fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let home = std::env::temp_dir().join(format!("wh-pg-{}", std::process::id()));
        PostgresServer::start(&home).unwrap_or_else(|error| panic!("{error}"))
    })
}

//! A PostgreSQL server of one's own: started from the installed binaries in a temporary directory,
//! reachable through a socket there alone, and gone with the process that started it.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::DemoError;
use crate::ambient::Ambient;

/// A running server. Dropping it stops the server and removes its directory; so does the end of
/// this process, however it ends.
pub struct PostgresServer {
    home: PathBuf,
    binaries: PathBuf,
    /// Whom the server runs as, where this process may not be that.
    user: Option<(u32, u32)>,
    guard: Child,
}

/// What is run of PostgreSQL's own.
const PROGRAMS: [&str; 4] = ["initdb", "pg_ctl", "postgres", "createdb"];

/// The name its data directory and its database's owner have.
const OWNER: &str = "wayhome";

impl PostgresServer {
    /// Makes a server in `home`, which must not exist yet, and starts it. Its path must be short:
    /// a socket's has at most 107 octets.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start; the message says how to install it.
    pub fn start(home: &Path) -> Result<Self, DemoError> {
        let binaries = binaries().ok_or_else(|| DemoError::Database {
            why: "PostgreSQL is not installed here: install the package postgresql (Debian, \
                  Ubuntu) or postgresql-server (Fedora)"
                .to_owned(),
        })?;
        let system = |what: &str| DemoError::system(format!("{what} {}", home.display()));
        std::fs::create_dir(home).map_err(system("making"))?;
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700))
            .map_err(system("protecting"))?;
        let user = other_user(home)?;
        if let Some((uid, gid)) = user {
            chown(home, Some(uid), Some(gid)).map_err(system("giving away"))?;
        }
        let guard = guard(home, &binaries, user)?;
        let server = Self {
            home: home.to_owned(),
            binaries,
            user,
            guard,
        };
        server.run(
            "initdb",
            &[
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--username",
                OWNER,
            ],
        )?;
        server.restart()?;
        Ok(server)
    }

    /// As [`PostgresServer::start`], in a folder of its own among the temporary files: the paths of
    /// a demo and of a benchmark may be too long for a socket.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub fn start_aside(ambient: &Ambient) -> Result<Self, DemoError> {
        let name = format!("wh-pg-{}", hex::encode(ambient.random::<6>()));
        Self::start(&std::env::temp_dir().join(name))
    }

    /// Makes an empty database and gives its address.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn create_database(&self, name: &str) -> Result<String, DemoError> {
        let socket = self.home.display().to_string();
        self.run("createdb", &["--host", &socket, "--username", OWNER, name])?;
        Ok(self.address(name))
    }

    /// The address of a database, as a node's configuration takes it.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        let socket = self.home.display().to_string().replace('/', "%2F");
        format!("postgres://{OWNER}@{socket}/{name}")
    }

    /// Kills the server as a power cut would; [`PostgresServer::restart`] brings it back.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn kill(&self) -> Result<(), DemoError> {
        self.run(
            "pg_ctl",
            &["stop", "--mode=immediate", "--wait", "--silent"],
        )
    }

    /// Starts the server again after [`PostgresServer::kill`].
    ///
    /// # Errors
    /// If it does not start; the message holds the end of its log.
    pub fn restart(&self) -> Result<(), DemoError> {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c max_connections=200",
            self.home.display()
        );
        let log = self.home.join("server.log").display().to_string();
        self.run(
            "pg_ctl",
            &[
                "start",
                "--wait",
                "--silent",
                "--log",
                &log,
                "--options",
                &options,
            ],
        )
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), DemoError> {
        let output = command(&self.binaries.join(program), &self.home, self.user)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(DemoError::system(program.to_owned()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let log = std::fs::read_to_string(self.home.join("server.log")).unwrap_or_default();
        let end = log.lines().rev().take(5).collect::<Vec<_>>();
        Err(DemoError::Database {
            why: format!(
                "{program} failed: {} {}",
                said.trim(),
                end.into_iter().rev().collect::<Vec<_>>().join(" / ")
            ),
        })
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The guard waits for the end of its input.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A process that outlives this one by a moment: once its input ends, it stops the server and
/// removes the directory.
fn guard(home: &Path, binaries: &Path, user: Option<(u32, u32)>) -> Result<Child, DemoError> {
    const SCRIPT: &str = "trap '' INT TERM HUP
        cat >/dev/null
        \"$1\" stop --mode=immediate --silent >/dev/null 2>&1
        rm -rf \"$2\"";
    command(Path::new("/bin/sh"), home, user)
        .args(["-c", SCRIPT, "guard"])
        .arg(binaries.join("pg_ctl"))
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(DemoError::system("starting the server's guard"))
}

fn command(program: &Path, home: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir("/")
        .env("PGDATA", home.join("data"))
        .env("LC_ALL", "C");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package made, or as
/// nobody.
fn other_user(home: &Path) -> Result<Option<(u32, u32)>, DemoError> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(home)
        .map_err(DemoError::system(home.display().to_string()))?
        .uid();
    if owner != 0 {
        return Ok(None);
    }
    let users =
        std::fs::read_to_string("/etc/passwd").map_err(DemoError::system("reading /etc/passwd"))?;
    let find = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(wanted)).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            Some((uid, fields.next()?.parse().ok()?))
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .map(Some)
        .ok_or_else(|| DemoError::Database {
            why: "PostgreSQL does not run as root, and there is no user postgres or nobody here"
                .to_owned(),
        })
}

/// Where the server's programs are: on the path, or in the newest of the places where
/// distributions put them.
fn binaries() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut versions: Vec<(u32, PathBuf)> =
        ["/usr/lib/postgresql", "/usr/lib64/pgsql", "/opt/pgsql"]
            .iter()
            .filter_map(|parent| std::fs::read_dir(parent).ok())
            .flatten()
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
    versions.sort();
    on_path
        .chain(versions.into_iter().rev().map(|(_, path)| path))
        .chain([
            PathBuf::from("/usr/bin"),
            PathBuf::from("/usr/local/pgsql/bin"),
        ])
        .find(|path| PROGRAMS.iter().all(|program| path.join(program).exists()))
}

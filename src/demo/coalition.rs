//! Founding the demo's coalition, with the same commands a real one uses.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::Value;

use super::process::{Node, Wayhome};
use super::registers::MEMBERS;
use super::{DemoError, PostgresServer};

/// Id of the demo's ombudsman.
pub const OMBUDSMAN: &str = "ombudsman";

/// How many keyholders an evaluation takes.
pub const THRESHOLD: usize = 3;

/// How often everybody comes to the table at most: no ceremony takes more rounds.
const MOST_ROUNDS: usize = 8;

/// How long is waited between two looks at a node.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Looks until it is so.
///
/// # Errors
/// If it never comes to it, or a look fails.
pub async fn until<F: Future<Output = Result<bool, DemoError>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> Result<(), DemoError> {
    let waiting = async {
        while !look().await? {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| Err(DemoError::Story(format!("it never came to this: {what}"))))
}

/// A coalition that runs.
pub struct Coalition {
    wayhome: Wayhome,
    directory: PathBuf,
    /// Parties that came after the founding.
    joined: Vec<String>,
    nodes: BTreeMap<String, Node>,
    consoles: Vec<ConsoleAt>,
    /// The nodes' database server, if they do not each keep a file. It stops after them.
    database: Option<PostgresServer>,
}

/// Where a founder's people work with a browser.
pub struct ConsoleAt {
    /// The state.
    pub name: &'static str,
    /// The address.
    pub url: String,
    /// The code with which its first administrator takes an account.
    pub code: String,
}

/// A party that joins a coalition.
pub struct Newcomer<'a> {
    /// Its id.
    pub id: &'a str,
    /// The state.
    pub name: &'a str,
    /// The authority.
    pub organisation: &'a str,
    /// Its number as a keyholder.
    pub keyholder: &'a str,
}

impl Coalition {
    /// Makes keys, root, roster and coalition key, and starts the nodes, on a server's databases
    /// if there is one.
    ///
    /// # Errors
    /// What the command that failed said.
    pub async fn found(
        wayhome: Wayhome,
        directory: &Path,
        database: Option<PostgresServer>,
    ) -> Result<Self, DemoError> {
        let mut coalition = Self {
            wayhome,
            directory: directory.to_owned(),
            joined: Vec::new(),
            nodes: BTreeMap::new(),
            consoles: Vec::new(),
            database,
        };
        coalition.make_parties().await?;
        coalition.make_root().await?;
        coalition.found_roster().await?;
        let members = MEMBERS.map(|(id, ..)| id);
        let threshold = THRESHOLD.to_string();
        let start = ["start", "--threshold", &threshold, "--epoch", "1"];
        let key = coalition.hold_ceremony("first", &start, &members).await?;
        coalition
            .change_roster(&["--coalition-key", &path(&key)])
            .await?;
        coalition.start().await?;
        Ok(coalition)
    }

    /// Where the founders' people work with browsers.
    #[must_use]
    pub fn consoles(&self) -> &[ConsoleAt] {
        &self.consoles
    }

    /// A handle with which commands can be run beside the story.
    #[must_use]
    pub fn wayhome(&self) -> Wayhome {
        self.wayhome.clone()
    }

    /// Drafts the roster that follows, as `arguments` say, has it signed and publishes it at every
    /// party.
    ///
    /// # Errors
    /// What the command that failed said.
    pub async fn change_roster(&self, arguments: &[&str]) -> Result<(), DemoError> {
        let office = self.office()?;
        let roster = path(&office.join("roster.note"));
        let mut draft = vec!["--from", &roster];
        draft.extend(arguments);
        self.sign_roster(&draft).await
    }

    /// Takes a party in, as a member and keyholder, and starts its node.
    ///
    /// # Errors
    /// What the command that failed said.
    pub async fn take_in(&mut self, newcomer: &Newcomer<'_>) -> Result<(), DemoError> {
        let listen = free_address()?;
        let id = newcomer.id;
        self.run(
            id,
            &[
                "init",
                "--member",
                id,
                "--name",
                newcomer.name,
                "--organisation",
                newcomer.organisation,
                "--listen",
                &listen,
                "--keyholder",
                newcomer.keyholder,
                "--console",
                "off",
            ],
        )
        .await?;
        let office = self.office()?;
        let root = office.join("root.note");
        copy(&root, &self.party(id).join("root.note"))?;
        // Its node listens before anybody reads of it: from that moment on it is asked.
        let roster = path(&office.join("roster.note"));
        self.run(id, &["roster", "publish", &roster]).await?;
        self.start_node(id).await?;
        self.joined.push(id.to_owned());
        let entry = path(&self.party(id).join("member.json"));
        self.change_roster(&["--members", &entry]).await
    }

    /// Holds a ceremony of the coalition key among `parties`, called by `call`, and gives the file
    /// with what comes of it. Nobody ever has the key.
    ///
    /// # Errors
    /// What the command that failed said.
    pub async fn hold_ceremony(
        &self,
        name: &str,
        call: &[&str],
        parties: &[&str],
    ) -> Result<PathBuf, DemoError> {
        let office = self.office()?;
        let folder = office.join(format!("ceremony-{name}"));
        let ceremony = path(&folder);
        let (roster, root) = (
            path(&office.join("roster.note")),
            path(&office.join("root.note")),
        );
        let mut arguments = vec!["ceremony"];
        arguments.extend(call);
        arguments.extend(["--roster", &roster, "--root", &root, &ceremony]);
        let called = self.wayhome.command(&office, &arguments).await?;
        let told = called["fingerprint"].as_str().unwrap_or_default();
        // Each comes to the table until nothing is left to do: to commit, to hand out shares, to
        // take its own, and to see that the others have theirs.
        let mut waiting = true;
        let mut rounds = 0;
        while waiting && rounds < MOST_ROUNDS {
            waiting = false;
            rounds += 1;
            for id in parties {
                let join = ["ceremony", "join", "--expect", told, &ceremony];
                waiting |= self.run(id, &join).await?["complete"] != true;
            }
        }
        let finish = ["ceremony", "finish", "--root", &root, &ceremony];
        self.wayhome.command(&office, &finish).await?;
        let verify = ["ceremony", "status", "--verify", "--root", &root, &ceremony];
        self.wayhome.command(&office, &verify).await?;
        Ok(folder.join("coalition-key.json"))
    }

    /// A party's directory.
    #[must_use]
    pub fn party(&self, id: &str) -> PathBuf {
        self.directory.join(id)
    }

    /// Runs a command for a party.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub async fn run(&self, id: &str, arguments: &[&str]) -> Result<Value, DemoError> {
        self.wayhome.command(&self.party(id), arguments).await
    }

    /// As [`Coalition::run`], but a failed command still gives its object, with what it said.
    ///
    /// # Errors
    /// If the command cannot be run at all.
    pub async fn try_run(
        &self,
        id: &str,
        arguments: &[&str],
    ) -> Result<(Value, Option<String>), DemoError> {
        self.wayhome.try_command(&self.party(id), arguments).await
    }

    /// Stops one node and waits for it.
    ///
    /// # Errors
    /// If it cannot be stopped.
    pub async fn stop_node(&mut self, id: &str) -> Result<(), DemoError> {
        match self.nodes.remove(id) {
            Some(node) => node.stop().await,
            None => Ok(()),
        }
    }

    /// Starts one node and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn start_node(&mut self, id: &str) -> Result<(), DemoError> {
        let node = self.wayhome.node(id, &self.party(id)).await?;
        self.nodes.insert(id.to_owned(), node);
        Ok(())
    }

    /// The process of a node that runs.
    #[must_use]
    pub fn process(&self, id: &str) -> Option<u32> {
        self.nodes.get(id)?.process()
    }

    /// Stops all nodes and waits for them.
    ///
    /// # Errors
    /// If one cannot be stopped.
    pub async fn stop(self) -> Result<(), DemoError> {
        try_join_all(self.nodes.into_values().map(Node::stop)).await?;
        drop(self.database);
        Ok(())
    }

    async fn make_parties(&mut self) -> Result<(), DemoError> {
        for (number, (id, name, organisation)) in (1..).zip(MEMBERS) {
            let listen = free_address()?;
            let console = free_address()?;
            let number = number.to_string();
            let database = match &self.database {
                Some(server) => server.create_database(id)?,
                None => "sqlite:wayhome.db".to_owned(),
            };
            let made = self
                .run(
                    id,
                    &[
                        "init",
                        "--member",
                        id,
                        "--name",
                        name,
                        "--organisation",
                        organisation,
                        "--listen",
                        &listen,
                        "--keyholder",
                        &number,
                        "--database",
                        &database,
                        "--console",
                        &console,
                    ],
                )
                .await?;
            self.consoles.push(ConsoleAt {
                name,
                url: format!("http://{console}"),
                code: made["first_administrator_code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            });
        }
        self.run(
            OMBUDSMAN,
            &[
                "init",
                "--member",
                OMBUDSMAN,
                "--name",
                "Children's Ombudsman",
                "--organisation",
                "Office of the Coalition's Ombudsman",
                "--ombudsman",
                "coalition",
            ],
        )
        .await?;
        Ok(())
    }

    /// Three root keys, two of which must sign.
    async fn make_root(&self) -> Result<(), DemoError> {
        let office = self.office()?;
        let mut arguments = vec![
            "roster".to_owned(),
            "draft-root".to_owned(),
            "--coalition".to_owned(),
            "demo".to_owned(),
            "--threshold".to_owned(),
            "2".to_owned(),
            "--out".to_owned(),
            path(&office.join("root.note")),
        ];
        for number in 1..=3 {
            let name = format!("root{number}.demo");
            let key = path(&office.join(format!("root{number}.key")));
            let made = self
                .wayhome
                .command(&office, &["roster", "keygen", &name, "--out", &key])
                .await?;
            arguments.push(made["public"].as_str().unwrap_or_default().to_owned());
        }
        self.office_command(&arguments).await?;
        self.sign(&office.join("root.note")).await?;
        for id in self.parties() {
            copy(&office.join("root.note"), &self.party(id).join("root.note"))?;
        }
        Ok(())
    }

    async fn found_roster(&self) -> Result<(), DemoError> {
        let entries: Vec<String> = self
            .parties()
            .map(|id| path(&self.party(id).join("member.json")))
            .collect();
        let mut draft = vec!["--coalition", "demo", "--members"];
        draft.extend(entries.iter().map(String::as_str));
        self.sign_roster(&draft).await
    }

    async fn sign_roster(&self, draft_as: &[&str]) -> Result<(), DemoError> {
        let office = self.office()?;
        let roster = office.join("roster.note");
        let draft = office.join("roster.draft");
        let (root, out) = (path(&office.join("root.note")), path(&draft));
        let mut arguments = vec!["roster", "draft", "--root", &root, "--out", &out];
        arguments.extend(draft_as);
        self.wayhome.command(&office, &arguments).await?;
        std::fs::rename(&draft, &roster).map_err(DemoError::system("keeping the roster"))?;
        self.sign(&roster).await?;
        // Whoever joins has it in force before the others do, who ask it from then on.
        for id in &self.joined {
            let published = self.run(id, &["roster", "publish", &path(&roster)]).await?;
            self.in_force(id, published["version"].as_u64()).await?;
        }
        let others = self
            .parties()
            .filter(|id| !self.joined.iter().any(|joined| joined == id));
        for id in others {
            self.run(id, &["roster", "publish", &path(&roster)]).await?;
        }
        Ok(())
    }

    /// Waits until a node that runs has a roster of at least this version in force.
    async fn in_force(&self, id: &str, version: Option<u64>) -> Result<(), DemoError> {
        if !self.nodes.contains_key(id) {
            return Ok(());
        }
        until(&format!("the node of {id} has the new roster"), || async {
            Ok(self.run(id, &["status"]).await?["roster_version"].as_u64() >= version)
        })
        .await
    }

    async fn start(&mut self) -> Result<(), DemoError> {
        for (id, ..) in MEMBERS {
            let node = self.wayhome.node(id, &self.party(id)).await?;
            self.nodes.insert(id.to_owned(), node);
        }
        Ok(())
    }

    async fn sign(&self, file: &Path) -> Result<(), DemoError> {
        let office = self.office()?;
        for number in 1..=2 {
            let key = path(&office.join(format!("root{number}.key")));
            self.wayhome
                .command(&office, &["roster", "sign", &path(file), "--key", &key])
                .await?;
        }
        Ok(())
    }

    async fn office_command(&self, arguments: &[String]) -> Result<Value, DemoError> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.wayhome.command(&self.office()?, &arguments).await
    }

    /// The secretariat's desk.
    fn office(&self) -> Result<PathBuf, DemoError> {
        let office = self.directory.join("secretariat");
        std::fs::create_dir_all(&office).map_err(DemoError::system("making the secretariat"))?;
        Ok(office)
    }

    fn parties(&self) -> impl Iterator<Item = &str> {
        let founders = MEMBERS.iter().map(|(id, ..)| *id);
        let joined = self.joined.iter().map(String::as_str);
        founders.chain([OMBUDSMAN]).chain(joined)
    }
}

/// An address on this machine that was free a moment ago. The roster states addresses before the
/// nodes run, so they cannot ask for a free port themselves.
fn free_address() -> Result<String, DemoError> {
    let listener =
        TcpListener::bind("127.0.0.1:0").map_err(DemoError::system("finding a free port"))?;
    let address = listener
        .local_addr()
        .map_err(DemoError::system("finding a free port"))?;
    Ok(address.to_string())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn copy(from: &Path, to: &Path) -> Result<(), DemoError> {
    std::fs::copy(from, to)
        .map(|_| ())
        .map_err(DemoError::system(to.display().to_string()))
}

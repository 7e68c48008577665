//! Founding the demo's coalition, with the same commands a real one uses.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;
use serde_json::Value;

use super::DemoError;
use super::process::{Node, Wayhome};
use super::registers::MEMBERS;

/// Id of the demo's ombudsman.
pub const OMBUDSMAN: &str = "ombudsman";

/// How many keyholders an evaluation takes.
pub const THRESHOLD: usize = 3;

/// A coalition that runs.
pub struct Coalition {
    wayhome: Wayhome,
    directory: PathBuf,
    nodes: BTreeMap<String, Node>,
}

impl Coalition {
    /// Makes keys, root, roster and coalition key, and starts the nodes.
    ///
    /// # Errors
    /// What the command that failed said.
    pub async fn found(wayhome: Wayhome, directory: &Path) -> Result<Self, DemoError> {
        let mut coalition = Self {
            wayhome,
            directory: directory.to_owned(),
            nodes: BTreeMap::new(),
        };
        coalition.make_parties().await?;
        coalition.make_root().await?;
        coalition.sign_roster(None).await?;
        let key = coalition.hold_ceremony().await?;
        coalition.sign_roster(Some(&key)).await?;
        coalition.start().await?;
        Ok(coalition)
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

    /// Stops all nodes and waits for them.
    ///
    /// # Errors
    /// If one cannot be stopped.
    pub async fn stop(self) -> Result<(), DemoError> {
        try_join_all(self.nodes.into_values().map(Node::stop)).await?;
        Ok(())
    }

    async fn make_parties(&self) -> Result<(), DemoError> {
        for (number, (id, name, organisation)) in (1..).zip(MEMBERS) {
            let listen = free_address()?;
            let number = number.to_string();
            self.run(
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
                ],
            )
            .await?;
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

    async fn sign_roster(&self, coalition_key: Option<&Path>) -> Result<(), DemoError> {
        let office = self.office()?;
        let roster = office.join("roster.note");
        let mut arguments = vec!["roster".to_owned(), "draft".to_owned()];
        match coalition_key {
            None => arguments.extend(["--coalition".to_owned(), "demo".to_owned()]),
            Some(key) => arguments.extend([
                "--from".to_owned(),
                path(&roster),
                "--coalition-key".to_owned(),
                path(key),
            ]),
        }
        arguments.extend(["--root".to_owned(), path(&office.join("root.note"))]);
        if coalition_key.is_none() {
            arguments.push("--members".to_owned());
            arguments.extend(
                self.parties()
                    .map(|id| path(&self.party(id).join("member.json"))),
            );
        }
        let draft = office.join("roster.draft");
        arguments.extend(["--out".to_owned(), path(&draft)]);
        self.office_command(&arguments).await?;
        std::fs::rename(&draft, &roster).map_err(DemoError::system("keeping the roster"))?;
        self.sign(&roster).await?;
        for id in self.parties() {
            self.run(id, &["roster", "publish", &path(&roster)]).await?;
        }
        Ok(())
    }

    /// The keyholders make the coalition key among themselves; nobody ever has it.
    async fn hold_ceremony(&self) -> Result<PathBuf, DemoError> {
        let office = self.office()?;
        let ceremony = path(&office.join("ceremony"));
        let threshold = THRESHOLD.to_string();
        let called = self
            .wayhome
            .command(
                &office,
                &[
                    "ceremony",
                    "start",
                    "--roster",
                    &path(&office.join("roster.note")),
                    "--root",
                    &path(&office.join("root.note")),
                    "--threshold",
                    &threshold,
                    "--epoch",
                    "1",
                    &ceremony,
                ],
            )
            .await?;
        let told = called["fingerprint"].as_str().unwrap_or_default();
        // Each comes to the table three times: to commit, to hand out shares, to take its own.
        for _ in 0..3 {
            for (id, ..) in MEMBERS {
                self.run(id, &["ceremony", "join", "--expect", told, &ceremony])
                    .await?;
            }
        }
        self.wayhome
            .command(
                &office,
                &[
                    "ceremony",
                    "finish",
                    "--root",
                    &path(&office.join("root.note")),
                    &ceremony,
                ],
            )
            .await?;
        Ok(office.join("ceremony").join("coalition-key.json"))
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

    fn parties(&self) -> impl Iterator<Item = &'static str> {
        MEMBERS.iter().map(|(id, ..)| *id).chain([OMBUDSMAN])
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

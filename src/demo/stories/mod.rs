//! The stories that the demo can tell. Each is a file with one function
//! `tell(&Stage) -> (Coalition, outcome)`, and a line in [`Story`] and in [`tell`].

mod disclosure;
mod found;
mod ombudsman;
mod rotation;

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::Value;

use super::coalition::Coalition;
use super::process::Wayhome;
use super::registers::{MEMBERS, Registers};
use super::{DemoError, PostgresServer};
use crate::ambient::Ambient;

/// Which story is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// A child is found, two fields are asked for, and an ombudsman proves it.
    #[default]
    Found,
    /// A member is suspended, a keyholder replaced, the key rotated, while searches go on.
    Rotation,
    /// A node lies about what it told, and an ombudsman proves it.
    Ombudsman,
    /// What is told at once, what two people have to approve, what is refused; a correction and a
    /// withdrawal that reach whoever was told.
    Disclosure,
}

/// How the demo is played.
pub struct Options {
    /// Which story.
    pub story: Story,
    /// Where the coalition lives.
    pub directory: PathBuf,
    /// Other registers than the shipped ones.
    pub registers: Option<PathBuf>,
    /// Draws the case.
    pub seed: u64,
    /// Log level of the nodes.
    pub log: String,
    /// What the nodes keep their data in.
    pub database: Database,
}

/// What the demo's nodes keep their data in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Database {
    /// A file each.
    #[default]
    Sqlite,
    /// A database each, on a PostgreSQL server that the demo starts.
    Postgres,
}

impl Database {
    /// The server that such databases need, started for them; none for files.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub fn server(self, ambient: &Ambient) -> Result<Option<PostgresServer>, DemoError> {
        match self {
            Self::Sqlite => Ok(None),
            Self::Postgres => PostgresServer::start_aside(ambient).map(Some),
        }
    }
}

/// Tells the story, line by line, and returns the coalition, still running, with the outcome: an
/// object with at least `ok` and `seconds`.
///
/// # Errors
/// [`DemoError`] if anything on the way fails; nothing is passed over.
pub async fn tell(
    options: &Options,
    ambient: &Ambient,
    say: &(dyn Fn(String) + Sync),
) -> Result<(Coalition, Value), DemoError> {
    let stage = Stage {
        options,
        ambient,
        say,
        began: ambient.now_ms(),
    };
    match options.story {
        Story::Found => found::tell(&stage).await,
        Story::Rotation => rotation::tell(&stage).await,
        Story::Ombudsman => ombudsman::tell(&stage).await,
        Story::Disclosure => disclosure::tell(&stage).await,
    }
}

/// What every story has at hand.
pub(super) struct Stage<'a> {
    /// How the demo is played.
    pub options: &'a Options,
    /// Time and randomness.
    pub ambient: &'a Ambient,
    /// Tells a line.
    pub say: &'a (dyn Fn(String) + Sync),
    began: u64,
}

impl Stage<'_> {
    /// Tells a line.
    pub fn say(&self, line: impl Into<String>) {
        (self.say)(line.into());
    }

    /// Seconds since the story began.
    pub fn seconds(&self) -> f64 {
        (self.ambient.now_ms() - self.began) as f64 / 1000.0
    }

    /// The four registers.
    pub fn registers(&self) -> Result<Registers, DemoError> {
        Registers::load(
            self.options.registers.as_deref(),
            &self.options.directory.join("registers"),
        )
    }

    /// This binary, as the nodes and commands of the story run it.
    pub fn wayhome(&self) -> Result<Wayhome, DemoError> {
        Wayhome::this(&self.options.log)
    }

    /// A coalition of the four members and an ombudsman, with a roster and a coalition key, whose
    /// nodes run.
    pub async fn coalition(&self) -> Result<Coalition, DemoError> {
        let server = self.options.database.server(self.ambient)?;
        if server.is_some() {
            self.say(
                "The members' databases are on a PostgreSQL server that was started for them.",
            );
        }
        Coalition::found(self.wayhome()?, &self.options.directory, server).await
    }
}

/// Ukraine asks for fields behind a lead.
async fn ask_about(coalition: &Coalition, lead: &str, fields: &[&str]) -> Result<Value, DemoError> {
    coalition
        .run(
            "ua",
            &[
                "disclose",
                lead,
                "--fields",
                &fields.join(","),
                "--case",
                "DEMO-1",
                "--justification",
                "The family asks where the child is and who cares for it.",
            ],
        )
        .await
}

/// How sentences name a member's state.
pub(super) fn state(member: &str) -> &'static str {
    MEMBERS
        .iter()
        .find(|(id, ..)| *id == member)
        .map_or("another member", |(_, name, _)| name)
}

/// A text of a command's object.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

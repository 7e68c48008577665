//! The story of a disclosure: one field is told at once, one once two people have approved, one never;
//! then the register is corrected, and what was told is withdrawn.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use totp_rs::{Algorithm, Builder, Secret};

use super::super::DemoError;
use super::super::coalition::Coalition;
use super::found::{Found, bring_registers_in, find_a_child, subject_access, verify_logs};
use super::{Stage, ask_about, state, text};

/// A field that is told at once, one that two people decide on, one that is refused.
const FIELDS: [&str; 3] = ["current_place", "current_carer", "note"];

/// Where the child is moved to in the course of the story.
const NEW_PLACE: &str = "another place, by the story's own invention";

/// How long a notice may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the story to its end.
pub(super) async fn tell(stage: &Stage<'_>) -> Result<(Coalition, Value), DemoError> {
    let registers = stage.registers()?;
    stage.say("A coalition of four states is founded on this machine.");
    let coalition = stage.coalition().await?;
    let members = bring_registers_in(&coalition, &registers, stage.ambient, stage.say).await?;
    let found = find_a_child(&coalition, &registers, stage.options.seed, stage.say).await?;
    let office = Office::open(stage, &coalition, &found).await?;
    let asked = ask(stage, &coalition, &found).await?;
    office.decide(&asked).await?;
    let approved = office.collect(&asked).await?;
    let corrected = office.correct(&found, &asked).await?;
    office.withdraw(&asked).await?;
    let logs = verify_logs(&coalition, &[], stage.say).await?;
    subject_access(&coalition, &found, stage.say).await?;
    let seconds = stage.seconds();
    stage.say(format!("All of this took {seconds:.1} seconds."));
    let outcome = json!({
        "ok": true,
        "members": members,
        "found": [{"case": found.pair.own, "by": "ua", "at": found.pair.member}],
        "at_once": asked.granted,
        "approved": approved,
        "refused": asked.withheld,
        "corrected": corrected,
        "withdrawn": true,
        "logs": logs,
        "seconds": seconds,
    });
    Ok((coalition, outcome))
}

/// What Ukraine asked, and what it was told at once.
struct Asked {
    /// As the asking side calls it, `member:id`.
    name: String,
    /// As the holder calls it.
    id: String,
    granted: Vec<String>,
    withheld: Vec<String>,
}

async fn ask(stage: &Stage<'_>, coalition: &Coalition, found: &Found) -> Result<Asked, DemoError> {
    let told = ask_about(coalition, &found.lead, &FIELDS).await?;
    let at = state(&found.pair.member);
    stage.say("");
    stage.say(format!(
        "Ukraine asks {at} for three fields, to trace the family: {}. The policy of {at} decides each by itself.",
        FIELDS.join(", ")
    ));
    let names =
        |list: &Value| -> Vec<String> { list.as_array().into_iter().flatten().map(text).collect() };
    let granted: Vec<String> = told["granted"]
        .as_object()
        .map(|fields| fields.keys().cloned().collect())
        .unwrap_or_default();
    for field in &granted {
        stage.say(format!(
            "  {field}: {}. It is told at once.",
            text(&told["granted"][field])
        ));
    }
    for field in names(&told["waiting"]) {
        stage.say(format!(
            "  {field}: waits. Two different people of {at} have to approve it."
        ));
    }
    let withheld = names(&told["withheld"]);
    for field in &withheld {
        stage.say(format!(
            "  {field}: withheld. Whether it was refused or {at} has none of it, Ukraine is not told."
        ));
    }
    let name = text(&told["request"]);
    let id = name.split(':').next_back().unwrap_or_default().to_owned();
    Ok(Asked {
        name,
        id,
        granted,
        withheld,
    })
}

/// The people of the holder.
struct Office<'a> {
    stage: &'a Stage<'a>,
    coalition: &'a Coalition,
    member: String,
    desk: PathBuf,
}

impl<'a> Office<'a> {
    /// An administrator, two approvers and a steward take their accounts and sign in.
    async fn open(
        stage: &'a Stage<'a>,
        coalition: &'a Coalition,
        found: &Found,
    ) -> Result<Self, DemoError> {
        let desk = stage.options.directory.join("desks");
        std::fs::create_dir_all(&desk).map_err(DemoError::system("making desks"))?;
        let office = Self {
            stage,
            coalition,
            member: found.pair.member.clone(),
            desk,
        };
        let made = coalition
            .run(&office.member, &["accounts", "first-code"])
            .await?;
        office.enter("administrator", &text(&made["code"])).await?;
        for (name, role) in [
            ("first-approver", "approver"),
            ("second-approver", "approver"),
            ("steward", "steward"),
        ] {
            let made = office
                .run("administrator", &["accounts", "add", name, "--role", role])
                .await?;
            office.enter(name, &text(&made["code"])).await?;
        }
        stage.say("");
        stage.say(format!(
            "{} has people at work: an administrator, two approvers and a steward, each with a password and an authenticator of their own.",
            state(&office.member)
        ));
        Ok(office)
    }

    /// A person claims an account and signs in.
    async fn enter(&self, name: &str, code: &str) -> Result<(), DemoError> {
        let file = self.desk.join(format!("{name}.password"));
        let password = hex::encode(self.stage.ambient.random::<16>());
        std::fs::write(&file, password).map_err(DemoError::system("writing a password"))?;
        let file = file.display().to_string();
        let claimed = self
            .run(
                name,
                &[
                    "accounts",
                    "claim",
                    name,
                    "--code",
                    code,
                    "--password-file",
                    &file,
                ],
            )
            .await?;
        let code = self.authenticator(&text(&claimed["secret"]))?;
        self.run(
            name,
            &[
                "accounts",
                "sign-in",
                name,
                "--code",
                &code,
                "--password-file",
                &file,
            ],
        )
        .await?;
        Ok(())
    }

    /// What the person's authenticator shows.
    fn authenticator(&self, secret: &str) -> Result<String, DemoError> {
        let wrong = |why: String| DemoError::Registers(format!("an authenticator: {why}"));
        let secret =
            Secret::try_from_base32(secret).map_err(|error| wrong(format!("{error:?}")))?;
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_secret(secret)
            .with_account_name("demo".to_owned())
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(totp.generate(self.stage.ambient.now()).to_string())
    }

    async fn run(&self, person: &str, arguments: &[&str]) -> Result<Value, DemoError> {
        let session = self.desk.join(format!("{person}.session"));
        let session = session.display().to_string();
        let mut all = vec!["--session", session.as_str()];
        all.extend(arguments);
        self.coalition.run(&self.member, &all).await
    }

    async fn try_run(
        &self,
        person: &str,
        arguments: &[&str],
    ) -> Result<(Value, Option<String>), DemoError> {
        let session = self.desk.join(format!("{person}.session"));
        let session = session.display().to_string();
        let mut all = vec!["--session", session.as_str()];
        all.extend(arguments);
        self.coalition.try_run(&self.member, &all).await
    }

    /// Two people look at the request and approve it; one alone cannot.
    async fn decide(&self, asked: &Asked) -> Result<(), DemoError> {
        let say = |line: String| self.stage.say(line);
        say(String::new());
        let mut first = true;
        for person in ["first-approver", "second-approver"] {
            let shown = self.run(person, &["requests", "show", &asked.id]).await?;
            let digest = text(&shown["digest"]);
            if first {
                say(format!(
                    "The inbox of {}: ua asks for current_carer, \"{}\".",
                    state(&self.member),
                    text(&shown["justification"])
                ));
            }
            let approve = ["requests", "approve", &asked.id, "--digest", &digest];
            self.run(person, &approve).await?;
            say(format!(
                "  {person} looks at what is asked and approves just that (digest {}...).",
                digest.chars().take(12).collect::<String>()
            ));
            if first {
                let (_, refused) = self.try_run(person, &approve).await?;
                let why = refused.ok_or_else(|| {
                    DemoError::Registers("one person could approve twice".to_owned())
                })?;
                say(format!("  {person} tries once more and is refused: {why}"));
                let told = self.poll(asked).await?;
                if told["granted"].get("current_carer").is_some() {
                    return Err(DemoError::Registers(
                        "one person's approval was enough for two".to_owned(),
                    ));
                }
                say("  Ukraine asks again: it still waits.".to_owned());
            }
            first = false;
        }
        Ok(())
    }

    async fn poll(&self, asked: &Asked) -> Result<Value, DemoError> {
        self.coalition
            .run("ua", &["disclose", "poll", &asked.name])
            .await
    }

    /// Ukraine asks again and is told.
    async fn collect(&self, asked: &Asked) -> Result<Vec<String>, DemoError> {
        let told = self
            .coalition
            .run("ua", &["disclose", "watch", &asked.name])
            .await?;
        let Some(carer) = told["granted"].get("current_carer") else {
            return Err(DemoError::Registers(
                "a field that two people approved was not told".to_owned(),
            ));
        };
        self.stage.say(format!(
            "Ukraine is told who cares for the child: {}. For {} only, not to be passed on, and its own node erases it at {}.",
            text(carer),
            text(&told["conditions"]["purpose"]),
            text(&told["retain_until"])
        ));
        Ok(vec!["current_carer".to_owned()])
    }

    /// The register is corrected; whoever was told hears of it and asks again.
    async fn correct(&self, found: &Found, asked: &Asked) -> Result<Value, DemoError> {
        let set = format!("current_place={NEW_PLACE}");
        self.run(
            "steward",
            &["records", "correct", &found.pair.other, "--set", &set],
        )
        .await?;
        self.stage.say("");
        self.stage.say(format!(
            "The child moves. The steward of {} corrects the register; its node tells Ukraine's by itself.",
            state(&self.member)
        ));
        let kept = self.until(asked, "corrected").await?;
        self.stage.say(format!(
            "  Ukraine's node marks what it was told as outdated: {}.",
            kept["outdated"]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .collect::<Vec<_>>()
                .join(", ")
        ));
        let told = self.poll(asked).await?;
        let place = told["granted"]["current_place"].clone();
        if place != NEW_PLACE {
            return Err(DemoError::Registers(
                "a correction did not reach who was told".to_owned(),
            ));
        }
        self.stage
            .say(format!("  It asks again, and is told: {}.", text(&place)));
        Ok(json!({"field": "current_place", "value": place}))
    }

    /// What was told is withdrawn, and gone where it was told.
    async fn withdraw(&self, asked: &Asked) -> Result<(), DemoError> {
        self.run(
            "second-approver",
            &["requests", "withdraw", &asked.id, "--yes"],
        )
        .await?;
        self.stage.say("");
        self.stage.say(format!(
            "An approver of {} withdraws all of it.",
            state(&self.member)
        ));
        let kept = self.until(asked, "withdrawn").await?;
        if kept["values"]
            .as_object()
            .is_some_and(|left| !left.is_empty())
        {
            return Err(DemoError::Registers(
                "what was withdrawn is still kept".to_owned(),
            ));
        }
        self.stage.say(
            "  Ukraine's node has erased what it was told and acknowledged it. The signed answers still verify: what is left of each value in them is its hash.",
        );
        Ok(())
    }

    /// Waits until Ukraine's node knows a request to be in a state.
    async fn until(&self, asked: &Asked, wanted: &str) -> Result<Value, DemoError> {
        let look = async {
            loop {
                let kept = self
                    .coalition
                    .run("ua", &["disclose", "show", &asked.name])
                    .await?;
                if kept["state"] == wanted {
                    return Ok(kept);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| {
                Err(DemoError::Registers(format!(
                    "no notice that the request is {wanted} arrived"
                )))
            })
    }
}

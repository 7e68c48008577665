//! The coalition changes under way: a member is suspended, a keyholder replaced, the key rotated,
//! while searches go on from other processes. None of them fails but those of the suspended member.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::DemoError;
use super::super::case::{draw, line};
use super::super::coalition::{Coalition, Newcomer, until};
use super::super::process::Wayhome;
use super::super::registers::{Registers, TruePair};
use super::found::{bring_registers_in, verify_logs};
use super::{Stage, state, text};
use crate::roster::Timestamp;

/// Who is suspended, and leaves the keyholders.
const LEAVES: &str = "ca";

/// Who takes its place.
const JOINS: Newcomer<'static> = Newcomer {
    id: "fr",
    name: "France",
    organisation: "Directorate for the Protection of Youth",
    keyholder: "5",
};

/// The keyholders after the change.
const STAY: [&str; 4] = ["ua", "pl", "de", JOINS.id];

/// How many children are drawn at most until one is found.
const DRAWS: usize = 8;

/// How many records each register has besides those of the children that are drawn: few, for the
/// story is about the key and not about the registers.
const OTHERS: usize = 40;

/// In how many seconds the suspension begins.
const NOTICE: u64 = 4;

/// How long is waited between two searches.
const BETWEEN: Duration = Duration::from_millis(200);

/// Tells the story to its end.
pub(super) async fn tell(stage: &Stage<'_>) -> Result<(Coalition, Value), DemoError> {
    let whole = stage.registers()?;
    let drawn: Vec<TruePair> = draw(&whole, stage.options.seed)
        .into_iter()
        // Found in Poland, for Germany looks for the child too.
        .filter(|pair| pair.member == "pl")
        .take(DRAWS)
        .collect();
    let named: BTreeSet<(String, String)> = drawn
        .iter()
        .flat_map(|pair| {
            [
                ("ua".to_owned(), pair.own.clone()),
                (pair.member.clone(), pair.other.clone()),
            ]
        })
        .collect();
    let part = stage.options.directory.join("part");
    let registers = whole.part(&part, &named, OTHERS)?;
    stage.say("A coalition of four states is founded on this machine, and its four keyholders make a key.");
    let mut coalition = stage.coalition().await?;
    bring_registers_in(&coalition, &registers, stage.ambient, stage.say).await?;

    let case = find_case(stage, &coalition, &registers, &drawn).await?;
    let mut found = vec![json!({"when": "before", "at": case.member, "grade": "MATCH"})];
    let described = stage.options.directory.join("described");
    let only = [("ua".to_owned(), case.own.clone())].into();
    let described = registers.part(&described, &only, 0)?.file("ua");
    let searches = Searches::begin(&coalition, &case, &registers, &described);
    stage.say("From now on searches go on all the time, from other processes: Ukraine for this child, Germany for the same by a description, for which it asks the keyholders each time, Poland and Canada for children of theirs.");

    suspend(stage, &coalition).await?;
    found.push(find(stage, &coalition, &case, "while a member is suspended").await?);
    let destroyed = replace(stage, &mut coalition).await?;
    found.push(find(stage, &coalition, &case, "while a keyholder is new").await?);
    let rederived = rotate(stage, &coalition, &case, &mut found).await?;
    found.push(find(stage, &coalition, &case, "after").await?);

    let counts = searches.end().await?;
    stage.say(String::new());
    stage.say(format!(
        "Meanwhile {} searches were made; {} of them failed. Of the suspended member's own, {} were answered before it was suspended, and {} were refused afterwards.",
        counts.done, counts.failed.len(), counts.of_suspended_answered, counts.of_suspended_refused
    ));
    if let Some(first) = counts.failed.first() {
        return Err(DemoError::Story(format!(
            "{} searches failed; the first: {first}",
            counts.failed.len()
        )));
    }
    let logs = verify_logs(&coalition, &STAY, stage.say).await?;
    let seconds = stage.seconds();
    stage.say(format!("All of this took {seconds:.1} seconds."));
    let outcome = json!({
        "ok": true,
        "story": "rotation",
        "found": found,
        "searches": {
            "done": counts.done,
            "failed": counts.failed.len(),
            "of_suspended": {
                "answered": counts.of_suspended_answered,
                "refused": counts.of_suspended_refused,
            },
        },
        "suspended": LEAVES,
        "replaced": {"leaves": LEAVES, "joins": JOINS.id},
        "epochs": {"from": 1, "to": 2},
        "rederived": rederived,
        "shares_destroyed": destroyed,
        "logs": logs,
        "seconds": seconds,
    });
    Ok((coalition, outcome))
}

/// The first of the drawn children that is found beyond doubt.
async fn find_case(
    stage: &Stage<'_>,
    coalition: &Coalition,
    registers: &Registers,
    drawn: &[TruePair],
) -> Result<TruePair, DemoError> {
    for pair in drawn {
        let searched = coalition.run("ua", &search(&pair.own)).await?;
        if grade_at(&searched, &pair.member) == "MATCH" {
            let own = registers.record("ua", &pair.own).map(line);
            stage.say(String::new());
            stage.say(format!(
                "Ukraine looks for {}. {} has the child.",
                own.unwrap_or_default(),
                state(&pair.member)
            ));
            return Ok(pair.clone());
        }
    }
    Err(DemoError::NothingFound { drawn: drawn.len() })
}

fn search(record_ref: &str) -> [&str; 5] {
    ["search", "--record", record_ref, "--case", "ROTATION-1"]
}

fn grade_at(searched: &Value, member: &str) -> String {
    let mut answers = searched["answers"].as_array().into_iter().flatten();
    answers
        .find(|answer| answer["member"] == member)
        .map(|answer| text(&answer["results"][0]["grade"]))
        .unwrap_or_default()
}

/// The child is looked for once more, by the story itself.
async fn find(
    stage: &Stage<'_>,
    coalition: &Coalition,
    case: &TruePair,
    when: &str,
) -> Result<Value, DemoError> {
    let (searched, _) = coalition.try_run("ua", &search(&case.own)).await?;
    let grade = grade_at(&searched, &case.member);
    stage.say(format!("  The child is looked for {when}: {grade}."));
    if grade != "MATCH" {
        return Err(DemoError::Story(format!(
            "the child was not found {when}: {searched}"
        )));
    }
    Ok(json!({"when": when, "at": case.member, "grade": grade}))
}

async fn suspend(stage: &Stage<'_>, coalition: &Coalition) -> Result<(), DemoError> {
    stage.say(String::new());
    stage.say(format!(
        "{} is suspended: two of three root keys sign a roster that says so.",
        state(LEAVES)
    ));
    // From a moment on that is to come, so that all nodes have the roster by then.
    let from = Timestamp::from_unix(stage.ambient.now() + NOTICE).to_string();
    coalition
        .change_roster(&["--suspend", LEAVES, "--suspend-from", &from])
        .await?;
    until("the suspended member is refused by all", || async {
        let own = coalition
            .run(LEAVES, &["records", "list", "--limit", "1"])
            .await?;
        let record = text(&own["records"][0]["record_ref"]);
        let (searched, _) = coalition.try_run(LEAVES, &search(&record)).await?;
        let answers = searched["answers"].as_array().cloned().unwrap_or_default();
        Ok(answers.iter().all(|answer| !answer["error"].is_null()))
    })
    .await?;
    stage.say(format!(
        "  Every node has it within a second or so: from {from} on the suspended member is refused everywhere."
    ));
    Ok(())
}

/// Gives how many shares were destroyed.
async fn replace(stage: &Stage<'_>, coalition: &mut Coalition) -> Result<usize, DemoError> {
    stage.say(String::new());
    stage.say(format!(
        "{} joins, and takes {}'s place among the keyholders: the three that stay make a share for it, which none of them sees, and all four renew theirs.",
        JOINS.name,
        state(LEAVES)
    ));
    let before = shares(coalition, &["ua", "pl", "de", LEAVES]);
    coalition.take_in(&JOINS).await?;
    let call = ["replace", "--leaves", LEAVES, "--joins", JOINS.id];
    let key = coalition.hold_ceremony("replace", &call, &STAY).await?;
    coalition
        .change_roster(&["--coalition-key", &key.display().to_string()])
        .await?;
    until("the old shares are destroyed", || async {
        let now = shares(coalition, &["ua", "pl", "de", LEAVES, JOINS.id]);
        Ok(now.is_disjoint(&before) && now.len() == STAY.len())
    })
    .await?;
    stage.say(format!(
        "  The key is the same; its four new shares are in use, and the {} old ones are destroyed, each with an entry in its keeper's log. Old and new shares do not mix.",
        before.len()
    ));
    Ok(before.len())
}

/// Gives how many records each member made new tokens of.
async fn rotate(
    stage: &Stage<'_>,
    coalition: &Coalition,
    case: &TruePair,
    found: &mut Vec<Value>,
) -> Result<Value, DemoError> {
    stage.say(String::new());
    stage.say("The key is rotated: the keyholders make the key of epoch 2, and a roster announces it. Each node makes new tokens of its records in the background.");
    let key = coalition
        .hold_ceremony("rotate", &["rotate"], &STAY)
        .await?;
    coalition
        .change_roster(&["--coalition-key", &key.display().to_string()])
        .await?;
    let mut rederived = serde_json::Map::new();
    for id in STAY {
        until("epoch 2 is open", || async {
            Ok(epoch(&status(coalition, id).await?, 2)["open"] == true)
        })
        .await?;
        let of = epoch(&status(coalition, id).await?, 2)["records_done"].clone();
        rederived.insert(id.to_owned(), of);
    }
    stage.say(format!(
        "  Ukraine has made new tokens of {} records, Poland of {}, Germany of {}; peers may ask under both epochs.",
        rederived["ua"], rederived["pl"], rederived["de"]
    ));
    found.push(find(stage, coalition, case, "while both epochs are answered").await?);
    coalition.change_roster(&["--enter-epoch"]).await?;
    for id in STAY {
        until("epoch 2 is in use", || async {
            Ok(status(coalition, id).await?["epoch"] == 2)
        })
        .await?;
    }
    found.push(find(stage, coalition, case, "under the new epoch").await?);
    coalition.change_roster(&["--drop-epoch"]).await?;
    until("the shares of epoch 1 are destroyed", || async {
        let left = shares(coalition, &STAY);
        let is_old = |(_, file): &(String, String)| file.starts_with("share-1-");
        Ok(!left.iter().any(is_old))
    })
    .await?;
    stage.say(
        "  The old epoch is dropped: its tokens, its index rows and its shares are destroyed.",
    );
    Ok(Value::Object(rederived))
}

async fn status(coalition: &Coalition, id: &str) -> Result<Value, DemoError> {
    coalition.run(id, &["status"]).await
}

fn epoch(status: &Value, epoch: u64) -> Value {
    let mut epochs = status["epochs"].as_array().into_iter().flatten();
    epochs
        .find(|standing| standing["epoch"] == epoch)
        .cloned()
        .unwrap_or_default()
}

/// The files with shares of these parties: whose, and the name without its ending.
fn shares(coalition: &Coalition, parties: &[&str]) -> BTreeSet<(String, String)> {
    let mut shares = BTreeSet::new();
    for id in parties {
        let keys = coalition.party(id).join("keys");
        let names = std::fs::read_dir(keys).into_iter().flatten();
        for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            if let Some((stem, "sealed" | "new")) = name.rsplit_once('.')
                && stem.starts_with("share-")
            {
                shares.insert(((*id).to_owned(), stem.to_owned()));
            }
        }
    }
    shares
}

/// Searches that go on beside the story, each a process of its own.
struct Searches {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<Counts, DemoError>>>,
}

/// What became of them.
#[derive(Default)]
struct Counts {
    done: usize,
    /// What was wrong, search by search.
    failed: Vec<String>,
    of_suspended_answered: usize,
    of_suspended_refused: usize,
}

/// Who searches for what.
struct Searcher {
    wayhome: Wayhome,
    directory: PathBuf,
    id: &'static str,
    /// A record of its own register, or a file that describes a child: for that one the keyholders
    /// are asked anew each time.
    child: [String; 2],
    /// Where the child is, if it is known to be found.
    at: Option<String>,
}

impl Searches {
    fn begin(
        coalition: &Coalition,
        case: &TruePair,
        registers: &Registers,
        described: &Path,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = ["ua", "pl", "de", LEAVES].into_iter().filter_map(|id| {
            let child = match id {
                "ua" => ["--record".to_owned(), case.own.clone()],
                "de" => ["--input".to_owned(), described.display().to_string()],
                _ => ["--record".to_owned(), registers.findable(id)?],
            };
            let searcher = Searcher {
                wayhome: coalition.wayhome(),
                directory: coalition.party(id),
                id,
                child,
                at: ["ua", "de"].contains(&id).then(|| case.member.clone()),
            };
            Some(tokio::spawn(searcher.go_on(Arc::clone(&stop))))
        });
        Self {
            tasks: tasks.collect(),
            stop,
        }
    }

    async fn end(self) -> Result<Counts, DemoError> {
        self.stop.store(true, Ordering::Release);
        let mut all = Counts::default();
        for task in self.tasks {
            let counts = task
                .await
                .map_err(|error| DemoError::Story(error.to_string()))??;
            all.done += counts.done;
            all.failed.extend(counts.failed);
            all.of_suspended_answered += counts.of_suspended_answered;
            all.of_suspended_refused += counts.of_suspended_refused;
        }
        Ok(all)
    }
}

impl Searcher {
    async fn go_on(self, stop: Arc<AtomicBool>) -> Result<Counts, DemoError> {
        let mut counts = Counts::default();
        while !stop.load(Ordering::Acquire) {
            let (searched, _) = self
                .wayhome
                .try_command(&self.directory, &self.search())
                .await?;
            let answers = searched["answers"].as_array().cloned().unwrap_or_default();
            if self.id == LEAVES {
                let refused = answers.iter().any(|answer| !answer["error"].is_null());
                counts.of_suspended_refused += usize::from(refused || answers.is_empty());
                counts.of_suspended_answered += usize::from(!refused && !answers.is_empty());
            } else {
                counts.done += 1;
                counts.failed.extend(self.fault(&searched, &answers));
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Ok(counts)
    }

    fn search(&self) -> [&str; 5] {
        let [how, child] = &self.child;
        ["search", how, child, "--case", "ROTATION-2"]
    }

    /// What is wrong with a search, if anything is. That the suspended member does not answer is
    /// as it must be.
    fn fault(&self, searched: &Value, answers: &[Value]) -> Option<String> {
        let of_others = || answers.iter().filter(|answer| answer["member"] != LEAVES);
        if of_others().next().is_none() {
            return Some(format!("{}: nobody was asked: {searched}", self.id));
        }
        let silent = of_others().find(|answer| !answer["error"].is_null());
        if let Some(answer) = silent {
            return Some(format!(
                "{}: {} gave no answer: {}",
                self.id, answer["member"], answer["error"]
            ));
        }
        let missed = self
            .at
            .as_ref()
            .is_some_and(|at| grade_at(searched, at) != "MATCH");
        missed.then(|| format!("{}: the child was not found: {searched}", self.id))
    }
}

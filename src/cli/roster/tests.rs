//! A secretariat's desk in a temporary folder, worked by command lines.

use std::fs;
use std::path::PathBuf;

use clap::Parser as _;
use tempfile::TempDir;

use super::*;
use crate::ambient::{Ambient, ManualClock, SystemRandomness};
use crate::cli::{Output, ceremony, init};
use crate::node::Directory;
use crate::roster::{Bytes32, Root, Roster, Timestamp, TrustedRoot, TrustedRoster};

const NOW: u64 = 1_772_452_800;
const DAY: u64 = 86_400;

#[derive(clap::Parser)]
struct RosterLine {
    #[command(flatten)]
    args: Args,
}

#[derive(clap::Parser)]
struct CeremonyLine {
    #[command(flatten)]
    args: ceremony::Args,
}

#[derive(clap::Parser)]
struct InitLine {
    #[command(flatten)]
    args: init::Args,
}

/// Three root keys `a`, `b`, `c`, two of which must sign `root.note`; parties in folders.
struct Desk {
    home: TempDir,
    clock: ManualClock,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            home: tempfile::tempdir().unwrap(),
            clock: ManualClock::at_ms(NOW * 1000),
        };
        for key in ["a", "b", "c"] {
            desk.good(&format!("keygen {key}.example --out {key}.key"));
        }
        desk.good(
            "draft-root --coalition test --threshold 2 --expires 2027-01-31 --out root.note \
             a.key.pub b.key.pub c.key.pub",
        );
        desk.good("sign root.note --key a.key");
        desk.good("sign root.note --key b.key");
        desk
    }

    /// With four keyholders and a first roster, signed.
    fn with_roster() -> Self {
        let desk = Self::new();
        for (number, who) in (1..).zip(["ua", "pl", "de", "ca"]) {
            desk.init(who, number);
        }
        desk.good("draft --coalition test --root root.note --members ua/ pl/ de/ ca/ --out 1.note");
        desk.sign("1.note");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn context(&self, directory: &str) -> Context {
        Context {
            directory: Directory::new(self.path(directory)),
            given_directory: None,
            session: PathBuf::from("operator.session"),
            output: Output::new(true),
            ambient: Ambient::new(self.clock.clone(), SystemRandomness),
        }
    }

    /// Words that name files, and folders by a slash, become paths on the desk.
    fn words(&self, line: &str) -> Vec<String> {
        let is_path = |word: &str| {
            let parts = [".note", ".key", "/"];
            word == "cer" || parts.iter().any(|part| word.contains(part))
        };
        let words = line.split_whitespace().map(|word| {
            if is_path(word) {
                self.path(word).display().to_string()
            } else {
                word.to_owned()
            }
        });
        std::iter::once("test".to_owned()).chain(words).collect()
    }

    fn run_in(&self, directory: &str, line: &str) -> Result<(), CliError> {
        let args = RosterLine::try_parse_from(self.words(line)).unwrap().args;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(&self.context(directory), args))
    }

    fn run(&self, line: &str) -> Result<(), CliError> {
        self.run_in("nowhere", line)
    }

    fn good(&self, line: &str) {
        self.run(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }

    /// The line fails, and its message holds `part`.
    fn bad(&self, line: &str, part: &str) {
        let error = self
            .run(line)
            .err()
            .unwrap_or_else(|| panic!("{line} succeeds"));
        assert!(error.to_string().contains(part), "{line}: {error}");
    }

    fn sign(&self, file: &str) {
        self.good(&format!("sign {file} --key a.key"));
        self.good(&format!("sign {file} --key b.key"));
    }

    fn init(&self, who: &str, keyholder: u16) {
        let line = format!(
            "init --member {who} --name State-{who} --organisation Ministry \
             --listen 127.0.0.1:74{keyholder:02} --keyholder {keyholder}"
        );
        let args = InitLine::try_parse_from(line.split(' ').filter(|word| !word.is_empty()));
        init::run(&self.context(who), args.unwrap().args).unwrap();
        fs::copy(self.path("root.note"), self.path(who).join("root.note")).unwrap();
    }

    fn ceremony(&self, directory: &str, line: &str) -> Result<(), CliError> {
        let args = CeremonyLine::try_parse_from(self.words(line)).unwrap().args;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(ceremony::run(&self.context(directory), args))
    }

    /// A whole ceremony of the four in the folder `cer`.
    fn hold_ceremony(&self, roster: &str, epoch: u32) {
        let line =
            format!("start --roster {roster} --root root.note --threshold 3 --epoch {epoch} cer");
        self.ceremony("nowhere", &line).unwrap();
        let told = Bytes32::sha256(&fs::read(self.path("cer/plan.json")).unwrap());
        for _ in 0..3 {
            for who in ["ua", "pl", "de", "ca"] {
                let join = format!("join cer --expect {told}");
                self.ceremony(who, &join).unwrap();
            }
        }
        self.ceremony("nowhere", "finish --root root.note cer")
            .unwrap();
    }

    fn root(&self, file: &str) -> Root {
        let note = fs::read(self.path(file)).unwrap();
        TrustedRoot::pin(&note).unwrap().root().clone()
    }

    fn roster(&self, file: &str) -> Roster {
        let root = TrustedRoot::pin(&fs::read(self.path("root.note")).unwrap()).unwrap();
        let note = fs::read(self.path(file)).unwrap();
        TrustedRoster::verify(&root, &note)
            .unwrap()
            .roster()
            .clone()
    }
}

#[test]
fn from_keys_to_a_roster_with_a_coalition_key() {
    let desk = Desk::with_roster();
    desk.good("verify root.note --root root.note");
    desk.good("verify 1.note --root root.note");
    desk.hold_ceremony("1.note", 1);
    desk.good(
        "draft --from 1.note --root root.note --coalition-key cer/coalition-key.json --out 2.note",
    );
    desk.sign("2.note");
    desk.good("diff 1.note 2.note");
    desk.good("show 2.note");
    let roster = desk.roster("2.note");
    assert_eq!((roster.version, roster.root_version), (2, 1));
    assert_eq!(
        roster
            .coalition_key
            .current
            .as_ref()
            .unwrap()
            .keyholders
            .len(),
        4
    );
    desk.run_in("ua", "publish 2.note").unwrap();
    let published = fs::read(desk.path("ua/roster.note")).unwrap();
    assert_eq!(published, fs::read(desk.path("2.note")).unwrap());
}

#[test]
fn the_same_content_gives_the_same_text() {
    let desk = Desk::with_roster();
    for (file, members) in [("x.note", "ua/ pl/ de/ ca/"), ("y.note", "ca/ de/ pl/ ua/")] {
        desk.good(&format!(
            "draft --coalition test --root root.note --members {members} --out {file}"
        ));
    }
    let read = |file| fs::read(desk.path(file)).unwrap();
    assert_eq!(read("x.note"), read("y.note"));
}

#[test]
fn copies_signed_apart_are_put_together() {
    let desk = Desk::with_roster();
    desk.good("draft --from 1.note --root root.note --out x.note");
    desk.good("sign x.note --key a.key --out x-a.note");
    desk.good("sign x.note --key c.key --out x-c.note");
    desk.bad(
        "verify x-a.note --root root.note",
        "not by b.example, c.example",
    );
    desk.good("merge x-a.note x-c.note --out x-both.note");
    desk.good("verify x-both.note --root root.note");
    desk.bad("merge x-a.note 1.note --out z.note", "different texts");
    desk.bad("sign x-a.note --key a.key", "a.example has already signed");
}

#[test]
fn a_root_key_is_replaced() {
    let desk = Desk::with_roster();
    desk.good("keygen d.example --out d.key");
    desk.good(
        "draft-root --from root.note --threshold 2 --out 2-root.note b.key.pub c.key.pub d.key.pub",
    );
    desk.good("sign 2-root.note --key d.key");
    desk.good("sign 2-root.note --key c.key");
    // Two of the new keys are not two of the old.
    desk.bad(
        "verify 2-root.note --root root.note",
        "1 of 2 signatures of the trusted root 1",
    );
    desk.good("sign 2-root.note --key b.key");
    desk.good("verify 2-root.note --root root.note");
    assert_eq!(desk.root("2-root.note").version, 2);

    // The roster is signed anew, out of the one that the old root's keys signed.
    desk.good("draft --from 1.note --root root.note --root 2-root.note --out 2.note");
    desk.good("sign 2.note --key c.key");
    desk.good("sign 2.note --key d.key");
    desk.good("verify 2.note --root root.note --root 2-root.note");
    desk.bad(
        "verify 2.note --root root.note",
        "was made under root version 2",
    );
    desk.good("diff root.note 2-root.note");
}

#[test]
fn parties_are_suspended_changed_and_removed() {
    let desk = Desk::with_roster();
    desk.good("draft --from 1.note --root root.note --suspend de --remove ca --out 2.note");
    desk.sign("2.note");
    let roster = desk.roster("2.note");
    assert!(roster.member("ca").is_none());
    assert!(roster.member("de").unwrap().is_suspended(NOW));

    let file = desk.path("pl").join("member.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("State-pl", "Polska")).unwrap();
    desk.good("draft --from 2.note --root root.note --reinstate de --members pl/ --out 3.note");
    desk.sign("3.note");
    let roster = desk.roster("3.note");
    assert_eq!(roster.member("pl").unwrap().name, "Polska");
    assert!(!roster.member("de").unwrap().is_suspended(NOW));
    desk.bad(
        "draft --from 3.note --root root.note --remove ca --out 4.note",
        "no party called ca",
    );

    fs::write(&file, text.replace("\"index_cap\"", "\"indexcap\"")).unwrap();
    desk.bad(
        "draft --from 3.note --root root.note --members pl/ --out 4.note",
        "indexcap",
    );
    assert!(!desk.path("4.note").exists());
}

#[test]
fn an_epoch_follows_another() {
    let desk = Desk::with_roster();
    desk.hold_ceremony("1.note", 1);
    let key = "--coalition-key cer/coalition-key.json";
    desk.good(&format!(
        "draft --from 1.note --root root.note {key} --out 2.note"
    ));
    desk.sign("2.note");
    fs::remove_dir_all(desk.path("cer")).unwrap();
    for who in ["ua", "pl", "de", "ca"] {
        desk.run_in(who, "publish 2.note").unwrap();
    }
    desk.bad(
        "draft --from 2.note --root root.note --enter-epoch --out 3.note",
        "no coalition key",
    );
    desk.hold_ceremony("2.note", 2);
    desk.good(&format!(
        "draft --from 2.note --root root.note {key} --out 3.note"
    ));
    desk.sign("3.note");
    desk.good("draft --from 3.note --root root.note --enter-epoch --out 4.note");
    desk.sign("4.note");
    let keys = desk.roster("4.note").coalition_key;
    let epochs: Vec<u64> = keys.iter().map(|key| key.epoch).collect();
    assert_eq!(epochs, [1, 2]);
    assert_eq!(keys.current.unwrap().epoch, 2);
    desk.good("draft --from 4.note --root root.note --drop-epoch --out 5.note");
    desk.sign("5.note");
    assert_eq!(desk.roster("5.note").coalition_key.iter().count(), 1);
}

#[test]
fn a_coalition_key_without_its_ceremony_is_no_key() {
    let desk = Desk::with_roster();
    desk.hold_ceremony("1.note", 1);
    let file = desk.path("cer/coalition-key.json");
    fs::copy(&file, desk.path("taken.key")).unwrap();
    let draft = |key: &str| {
        format!("draft --from 1.note --root root.note --coalition-key {key} --out 2.note")
    };
    desk.bad(&draft("taken.key"), "must lie in its ceremony's folder");

    // One verifying share of somebody's own choosing.
    let text = fs::read_to_string(&file).unwrap();
    let mut key: crate::roster::CoalitionKey = serde_json::from_str(&text).unwrap();
    key.keyholders[0].verifying_share = key.keyholders[1].verifying_share;
    fs::write(&file, serde_json::to_string(&key).unwrap()).unwrap();
    desk.bad(
        &draft("cer/coalition-key.json"),
        "is not the key that the ceremony made",
    );

    fs::write(&file, text).unwrap();
    fs::remove_file(desk.path("cer").join("confirmations/de.json")).unwrap();
    desk.bad(&draft("cer/coalition-key.json"), "State-de (de)");
}

#[test]
fn publish_takes_what_a_node_would_take() {
    let desk = Desk::with_roster();
    let publish = |file: &str| {
        let outcome = desk.run_in("ua", &format!("publish {file}"));
        outcome.map_err(|error| error.to_string())
    };
    desk.good("draft --from 1.note --root root.note --out 2.note");
    assert!(publish("2.note").unwrap_err().contains("not a signed note"));
    desk.sign("2.note");
    publish("2.note").unwrap();
    publish("2.note").unwrap();
    assert!(
        publish("1.note")
            .unwrap_err()
            .contains("older than version 2")
    );
    assert!(
        publish("root.note")
            .unwrap_err()
            .contains("expected a roster")
    );

    desk.good("draft --from 1.note --root root.note --expires 2026-12-01 --out other.note");
    desk.sign("other.note");
    assert!(
        publish("other.note")
            .unwrap_err()
            .contains("two different roster")
    );

    // An expired roster in the directory still keeps an older one out.
    desk.good("draft --from 1.note --root root.note --expires 2027-01-01 --out late.note");
    desk.sign("late.note");
    desk.clock.advance_ms(200 * DAY * 1000);
    assert!(publish("2.note").unwrap_err().contains("expired"));
    assert!(
        publish("late.note")
            .unwrap_err()
            .contains("two different roster")
    );
    assert!(
        desk.run("publish 2.note")
            .unwrap_err()
            .to_string()
            .contains("no root is trusted")
    );
}

#[test]
fn mistakes_have_remedies() {
    let desk = Desk::with_roster();
    let root = "--coalition test --threshold 2 --out x-root.note";
    desk.bad("keygen a.example --out a.key", "exists already");
    desk.bad("keygen a+b --out x.key", "a+b");
    desk.bad(
        &format!("draft-root {root} a.key b.key.pub"),
        "secret key was given",
    );
    desk.bad(
        &format!("draft-root {root} 1.note b.key.pub"),
        "no public key",
    );
    desk.bad(
        &format!("draft-root {root} a.key.pub a.key.pub"),
        "the same",
    );
    desk.bad(
        "draft-root --coalition test --threshold 1 --out x-root.note a.key.pub b.key.pub",
        "at least 2",
    );
    desk.bad("sign 1.note --key a.key.pub", "a.key.pub");
    desk.bad("sign 1.note --key missing.key", "missing.key");
    desk.bad("show missing.note", "No such file");
    desk.bad("diff root.note 1.note", "two of a kind");
    desk.bad(
        "draft --coalition other --root root.note --members ua/ --out x.note",
        "not of \"other\"",
    );
    desk.bad(
        "draft --from 1.note --root root.note --out 1.note",
        "is there already",
    );
    desk.bad(
        "draft --from root.note --root root.note --out x.note",
        "expected a roster",
    );
    desk.bad(
        "draft --from 1.note --root 1.note --out x.note",
        "expected a root",
    );
    assert!(!desk.path("x.note").exists());

    fs::write(desk.path("edited.note"), "wayhome/roster/v1\n{}\n").unwrap();
    desk.bad("show edited.note", "coalition");
    let error = RosterLine::try_parse_from(
        desk.words("draft --coalition t --expires 31.12.2026 --out x.note"),
    );
    assert!(error.err().unwrap().to_string().contains("2027-01-31"));
}

#[test]
fn a_ceremony_other_than_the_one_told_of_is_not_joined() {
    let desk = Desk::with_roster();
    let start = "start --roster 1.note --root root.note --threshold 3 --epoch 1 cer";
    desk.ceremony("nowhere", start).unwrap();
    let other = "join cer --expect 0000-0000-0000-0000-0000-0000-0000-0000";
    let error = desk.ceremony("ua", other).unwrap_err();
    assert!(error.to_string().contains("fingerprint"), "{error}");
    assert!(!desk.path("ua/ceremonies").exists());
    desk.ceremony("ua", "status cer").unwrap();
    let error = desk
        .ceremony("nowhere", "finish --root root.note cer")
        .unwrap_err();
    assert!(
        error.to_string().contains("still lacks State-ua (ua)"),
        "{error}"
    );

    // An expired roster calls nobody to a ceremony, and lets nobody begin.
    desk.clock.advance_ms(200 * DAY * 1000);
    let error = desk.ceremony("ua", "join cer").unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn dates() {
    let midnight = "2027-01-31T00:00:00Z".parse::<Timestamp>().unwrap();
    assert_eq!(files::date("2027-01-31"), Ok(midnight));
    assert_eq!(files::date("2027-01-31T00:00:00Z"), Ok(midnight));
    for wrong in ["", "2027-02-30", "31.01.2027", "tomorrow!!"] {
        assert!(files::date(wrong).is_err(), "{wrong}");
    }
    assert_eq!(files::days_ahead(NOW + 5, 2).unix() % DAY, 0);
}

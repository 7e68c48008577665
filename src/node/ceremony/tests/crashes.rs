//! The process is killed before each single effect on disk in turn; the next run goes on.

use super::*;

/// Runs `work` with at most `effects` effects on disk.
pub(super) fn with_effects<T>(effects: usize, work: impl FnOnce() -> T) -> T {
    EFFECTS_LEFT.set(Some(effects));
    let outcome = work();
    EFFECTS_LEFT.set(None);
    outcome
}

/// A ceremony in which the `effects + 1`st effect of Poland never happens. Gives whether there was
/// such an effect.
fn killed_after(effects: usize, prepared: &Coalition) -> bool {
    let coalition = Coalition {
        home: tempfile::tempdir().unwrap(),
        ambient: prepared.ambient.clone(),
        roster: prepared.roster.clone(),
        trust: prepared.trust.clone(),
    };
    copy_folder(prepared.home.path(), coalition.home.path());
    let ceremony = coalition.start("ceremony");
    let mut left = Some(effects);
    for _ in 0..4 {
        for (who, _) in NAMES {
            let (true, Some(allowed)) = (who == "pl", left) else {
                coalition.join(who).unwrap();
                continue;
            };
            let (outcome, unused) = with_effects(allowed, || {
                (coalition.join(who), EFFECTS_LEFT.get().unwrap_or_default())
            });
            match outcome {
                Ok(_) => left = Some(unused),
                Err(error) => {
                    assert!(error.to_string().contains("killed"), "{error}");
                    left = None;
                    coalition.join(who).unwrap();
                }
            }
        }
    }
    let outcome = ceremony.finish().unwrap();
    let identity = coalition.identity("pl");
    let share = &identity.shares(&coalition.directory("pl")).unwrap()[0]
        .holding
        .share;
    let stated = outcome.key.keyholder("pl").unwrap().verifying_share;
    assert_eq!(share.verifying_share().as_bytes(), stated.as_bytes());
    let keys = files_below(&coalition.path("pl").join("keys"));
    assert!(!keys.iter().any(|(path, _)| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ceremony-"))
    }));
    left.is_none()
}

#[test]
fn a_keyholder_killed_at_any_step_goes_on() {
    let prepared = Coalition::new();
    let killed = (0..).take_while(|effects| killed_after(*effects, &prepared));
    let count = killed.count();
    // Seed, record, commitments; record; record, three packages; record; record, confirmation;
    // seed gone; record, and again.
    assert!(count >= 12, "only {count} effects");
}

#[test]
fn an_end_that_was_cut_short_is_reached_by_the_next_run() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    for _ in 0..3 {
        coalition.round();
    }
    for effects in 0..2 {
        let killed = with_effects(effects, || ceremony.finish());
        assert_eq!(killed.unwrap_err().code(), "FOLDER");
    }
    assert!(ceremony.finish().is_ok());
}

#[test]
fn two_commands_at_once_do_not_meet() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    let journal = journal::Journal::open(&coalition.directory("ua"), &ceremony.id()).unwrap();
    assert_eq!(coalition.join("ua").unwrap_err().code(), "BUSY");
    drop(journal);
    coalition.join("ua").unwrap();
}

//! Tests of [`super`]: one for each status code of the specification, and forks.

use super::*;
use crate::envelope::merkle::root_of;
use crate::envelope::note::verify_threshold;
use crate::tlog::testing::*;
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000;

fn witness() -> Witness {
    Witness::new(cosigner(1))
}

fn root(size: u64) -> Hash {
    root_of(numbered_leaves(size))
}

fn request(old: u64, new: u64) -> AddCheckpoint {
    let leaves = numbered_leaves(new);
    let proof = if old == 0 || old > new {
        vec![]
    } else {
        naive_consistency(old as usize, &leaves)
    };
    AddCheckpoint {
        old_size: old,
        proof,
        checkpoint: signed_checkpoint("log", new, root(new)),
    }
}

fn log(last: Option<u64>) -> WatchedLog {
    WatchedLog {
        keys: vec![log_signer("log").note_key()],
        last: last.map(|size| signed_checkpoint("log", size, root(size))),
    }
}

fn refusal(request: &AddCheckpoint, log: Option<&WatchedLog>) -> WitnessError {
    match witness().add_checkpoint(request, log, NOW) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[test]
fn a_log_that_grows_is_cosigned() {
    let mut log = log(None);
    let mut size = 0;
    for next in [0, 1, 1, 5, 8, 8, 300] {
        let request = request(size, next);
        let sent = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
        assert_eq!(sent, request);
        let witness = witness();
        let accepted = witness.add_checkpoint(&sent, Some(&log), NOW).unwrap();
        assert_eq!(
            accepted.expected(),
            log.last.as_ref().map(|last| last.unverified().head())
        );
        log.last = Some(accepted.to_persist());
        let reply = Reply::cosigned(&accepted.persisted().unwrap());
        assert_eq!(reply.status, 200);

        let mut checkpoint = request.checkpoint;
        for line in parse_cosignatures(reply.body.as_bytes()).unwrap() {
            checkpoint.add_cosignature(line).unwrap();
        }
        let verified = verify_threshold(checkpoint.note(), &[witness.note_key()], 1).unwrap();
        assert_eq!(verified.signatures()[0].unix_seconds, Some(NOW));
        size = next;
    }
}

#[test]
fn each_refusal_has_the_status_of_the_specification() {
    let status = |request: &AddCheckpoint, log: Option<&WatchedLog>| refusal(request, log).status();
    assert_eq!(status(&request(0, 5), None), 404);

    let mut foreign = request(0, 5);
    foreign.checkpoint = signed_checkpoint("other", 5, root(5));
    assert_eq!(status(&foreign, Some(&log(None))), 403);
    let mut stranger = log(None);
    stranger.keys = vec![cosigner(9).note_key()];
    assert_eq!(status(&request(0, 5), Some(&stranger)), 403);

    assert_eq!(status(&request(6, 5), Some(&log(Some(6)))), 400);

    let error = refusal(&request(0, 5), Some(&log(Some(3))));
    assert_eq!(
        error.reply(),
        Reply {
            status: 409,
            content_type: "text/x.tlog.size",
            body: "3\n".into()
        }
    );
    assert_eq!(
        refusal(&request(4, 5), Some(&log(None))).reply().body,
        "0\n"
    );

    let mut wrong = request(3, 5);
    wrong.proof[0][0] ^= 1;
    assert_eq!(status(&wrong, Some(&log(Some(3)))), 422);
    let mut needless = request(0, 5);
    needless.proof.push([0; 32]);
    assert_eq!(status(&needless, Some(&log(None))), 422);
    let mut same = request(5, 5);
    same.proof.push([0; 32]);
    assert_eq!(status(&same, Some(&log(Some(5)))), 422);
}

#[test]
fn a_fork_is_refused_and_both_sides_are_kept() {
    let known = log(Some(5));
    let mut fork = request(5, 5);
    fork.checkpoint = signed_checkpoint("log", 5, [1; 32]);
    let error = refusal(&fork, Some(&known));
    assert_eq!(error.status(), 409);
    let WitnessError::Fork {
        known: Some(ours),
        presented,
    } = error
    else {
        panic!("not a fork")
    };
    let verify = |checkpoint: &SignedCheckpoint| checkpoint.verify(&known.keys).unwrap();
    assert!(verify(&ours).contradicts(&verify(&presented)));

    // A longer history that does not hold the known one.
    let mut rewritten = request(5, 9);
    rewritten.checkpoint = signed_checkpoint("log", 9, root(10));
    assert_eq!(refusal(&rewritten, Some(&known)).status(), 422);
}

#[test]
fn a_strangers_signatures_are_not_kept() {
    let mut request = request(0, 5);
    let plain = request.checkpoint.clone();
    let text = plain.unverified().to_string();
    for n in 10..20 {
        request
            .checkpoint
            .add_cosignature(cosigner(n).cosign(&text, 1).unwrap())
            .unwrap();
    }
    let witness = witness();
    let accepted = witness
        .add_checkpoint(&request, Some(&log(None)), NOW)
        .unwrap();
    assert_eq!(accepted.to_persist(), plain);
}

#[test]
fn malformed_requests_are_refused() {
    let text = request(3, 5).to_string();
    for (from, to) in [
        ("old 3", "old 03"),
        ("old 3", "Old 3"),
        ("old 3", "old -3"),
        ("old 3\n", ""),
        ("old 3\n", "old 3\nAAAA\n"),
        ("old 3\n", "old 3\n\n"),
        ("\n\nlog", "\nlog"),
        ("log\n5", "log\n05"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let error = AddCheckpoint::parse(changed.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400, "{from} -> {to}");
    }
    let hash = format!("{}=\n", "A".repeat(43));
    let many = |count| text.replacen("old 3\n", &format!("old 3\n{}", hash.repeat(count)), 1);
    let present = request(3, 5).proof.len();
    assert!(AddCheckpoint::parse(many(MAX_PROOF_HASHES - present).as_bytes()).is_ok());
    assert!(AddCheckpoint::parse(many(MAX_PROOF_HASHES - present + 1).as_bytes()).is_err());
    assert!(parse_cosignatures(b"").is_err());
    assert!(parse_cosignatures("— w AAAAAAE=".as_bytes()).is_err());
    assert_eq!(
        parse_cosignatures("— w AAAAAAE=\n".as_bytes())
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn an_impossible_time_is_not_cosigned() {
    let witness = witness();
    let accepted = witness
        .add_checkpoint(&request(0, 5), Some(&log(None)), u64::MAX)
        .unwrap();
    assert_eq!(accepted.persisted().unwrap_err().status(), 500);
}

proptest! {
    #[test]
    fn any_body_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "old [0-9]{1,25}\n(\\PC{0,45}\n){0,3}\n\\PC{0,60}") {
        let _ = AddCheckpoint::parse(&bytes);
        let _ = AddCheckpoint::parse(text.as_bytes());
        let _ = parse_cosignatures(&bytes);
    }

    /// Whatever is sent in whatever order, what a witness cosigned stays one history.
    #[test]
    fn cosigned_checkpoints_never_contradict(steps in proptest::collection::vec((0..12u64, 0..12u64, any::<bool>()), 1..40)) {
        let mut log = log(None);
        for (old, new, forged) in steps {
            let mut request = request(old, new);
            if forged {
                request.checkpoint = signed_checkpoint("log", new.max(1), [new as u8; 32]);
            }
            let witness = witness();
            let accepted = witness.add_checkpoint(&request, Some(&log), NOW);
            let Ok(accepted) = accepted else { continue };
            let head = accepted.to_persist().unverified().head();
            let last = log.last.as_ref().map_or(0, |last| last.unverified().size());
            prop_assert!(head.size >= last);
            // The very first checkpoint is taken on trust; after it a forged one never gets in.
            prop_assert!(!forged || last == 0);
            if forged {
                continue;
            }
            log.last = Some(accepted.to_persist());
        }
    }
}

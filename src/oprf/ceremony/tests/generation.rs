//! Making a key.

use proptest::prelude::*;

use super::*;

#[test]
fn a_generated_key_is_one_key() {
    let mut rng = rng(1);
    for (threshold, participants) in [
        (2, &[1, 2][..]),
        (3, &[1, 2, 3, 4]),
        (2, &[4, 9, 700, u16::MAX]),
        (5, &[1, 2, 3, 4, 5]),
    ] {
        let plan = plan(1, threshold, participants);
        let generation = Generation::new(&plan, &mut rng);
        let outcomes = generation.finish();
        let (key, _) = verify_transcript(&plan, &generation.public).unwrap();
        assert!(outcomes.values().all(|(_, theirs)| *theirs == key));
        assert_eq!((key.epoch(), key.threshold()), (1, threshold));

        // Any t shares make the key; its single-key evaluation equals the coalition's.
        let shares: Vec<&KeyShare> = outcomes.values().map(|(share, _)| share).collect();
        let t = usize::from(threshold);
        let (first, last) = (&shares[..t], &shares[shares.len() - t..]);
        let secret = reconstruct(first);
        assert_eq!(secret, reconstruct(last));
        assert_eq!(
            PublicPoint::encode(&RistrettoPoint::mul_base(&secret)),
            key.public()
        );
        let local = LocalKey::from_bytes(secret.to_bytes()).unwrap();
        let expected = local.token(b"R1|olena|2014").unwrap();
        assert!(token(&key, first, &mut rng).unwrap() == expected);
        assert!(token(&key, last, &mut rng).unwrap() == expected);
        assert_ne!(reconstruct(&shares[..t - 1]), secret);
    }
}

#[test]
fn every_step_can_be_run_again_from_the_stored_state() {
    let mut rng = rng(2);
    let plan = plan(1, 2, &[1, 2, 3]);
    let generation = Generation::new(&plan, &mut rng);
    let stored = generation.parties[&2].to_bytes();
    let resumed = Dkg::from_bytes(plan.clone(), 2, &stored).unwrap();
    assert_eq!(
        resumed.public_message(),
        generation.parties[&2].public_message()
    );
    let again = resumed.secret_messages(&generation.public).unwrap();
    for (recipient, message) in &generation.sent[&2] {
        assert_eq!(message.as_bytes(), again[recipient].as_bytes());
    }
    let incoming = deliver(&generation.sent, 2);
    let (share, key) = resumed.finish(&generation.public, &incoming).unwrap();
    assert_eq!(key.check_share(&share), Ok(()));

    // Not from another's state, under another plan, or from damaged bytes.
    let other = DkgPlan::new(CeremonyId::new([9; 32]), 1, 2, ids(&[1, 2, 3])).unwrap();
    assert_eq!(
        Dkg::from_bytes(plan.clone(), 1, &stored).err(),
        Some(CeremonyError::State)
    );
    assert_eq!(
        Dkg::from_bytes(other, 2, &stored).err(),
        Some(CeremonyError::State)
    );
    for position in 0..stored.len() {
        let mut damaged = stored.to_vec();
        damaged[position] ^= 1;
        assert_eq!(
            Dkg::from_bytes(plan.clone(), 2, &damaged).err(),
            Some(CeremonyError::State),
            "byte {position}"
        );
        assert!(Dkg::from_bytes(plan.clone(), 2, &stored[..position]).is_err());
    }

    let old = generation.finish();
    let refreshing = refresh_plan(2, &key, &[1, 2, 3]);
    let party = Refresh::start(refreshing.clone(), 1, &mut rng).unwrap();
    let resumed = Refresh::from_bytes(refreshing.clone(), 1, &party.to_bytes()).unwrap();
    assert_eq!(resumed.public_message(), party.public_message());
    assert!(Refresh::from_bytes(refreshing, 1, &stored).is_err());

    let repairing = repair_plan(3, &key, &[1, 2], 3);
    let helper = RepairHelper::start(repairing.clone(), &old[&1].0, &mut rng).unwrap();
    let resumed =
        RepairHelper::from_bytes(repairing.clone(), &old[&1].0, &helper.to_bytes()).unwrap();
    assert_eq!(resumed.public_message(), helper.public_message());
    assert_eq!(
        RepairHelper::from_bytes(repairing, &old[&2].0, &helper.to_bytes()).err(),
        Some(CeremonyError::State)
    );
}

#[test]
fn a_participant_that_stops_is_waited_for() {
    let mut rng = rng(3);
    let plan = plan(1, 2, &[1, 2, 3]);
    let generation = Generation::new(&plan, &mut rng);
    let mut public = generation.public.clone();
    public.remove(&3);
    assert_eq!(
        generation.parties[&1].secret_messages(&public).err(),
        Some(CeremonyError::Missing {
            keyholders: vec![3]
        })
    );
    let mut secret = deliver(&generation.sent, 1);
    let late = secret.remove(&2).unwrap();
    assert_eq!(
        generation.parties[&1]
            .finish(&generation.public, &secret)
            .err(),
        Some(CeremonyError::Missing {
            keyholders: vec![2]
        })
    );
    secret.insert(2, late);
    assert!(
        generation.parties[&1]
            .finish(&generation.public, &secret)
            .is_ok()
    );
}

/// Alters the public message of keyholder 2 and says what keyholder 1 makes of it.
fn judge_public(
    generation: &Generation,
    alter: impl FnOnce(&mut Vec<u8>),
) -> Option<CeremonyError> {
    let mut bytes = generation.public[&2].as_bytes().to_vec();
    alter(&mut bytes);
    let mut public = generation.public.clone();
    public.insert(2, PublicMessage::new(bytes));
    let plan = plan(1, 2, &[1, 2, 3]);
    let transcript = verify_transcript(&plan, &public).err();
    assert_eq!(
        generation.parties[&1].secret_messages(&public).err(),
        transcript
    );
    transcript
}

#[test]
fn a_wrong_public_message_names_its_sender() {
    let mut rng = rng(4);
    let generation = Generation::new(&plan(1, 2, &[1, 2, 3]), &mut rng);
    let keyholder = 2;
    let judge = |alter: &dyn Fn(&mut Vec<u8>)| judge_public(&generation, alter);
    assert_eq!(judge(&|_| ()), None);
    assert_eq!(
        judge(&|bytes| bytes[0] = 3),
        Some(CeremonyError::WrongRound { keyholder })
    );
    assert_eq!(
        judge(&|bytes| bytes[9] ^= 1),
        Some(CeremonyError::WrongCeremony { keyholder })
    );
    assert_eq!(
        judge(&|bytes| bytes[34] = 3),
        Some(CeremonyError::WrongSender {
            keyholder,
            claimed: 3
        })
    );
    for (alter, what) in [
        (
            &(|bytes: &mut Vec<u8>| bytes.truncate(98)) as &dyn Fn(&mut Vec<u8>),
            "it is too short",
        ),
        (&|bytes| bytes.push(0), "it is too long"),
        (&|bytes| bytes.clear(), "it is too short"),
        (
            &|bytes| bytes[35..67].fill(0xff),
            "a commitment is no valid element",
        ),
        (
            &|bytes| bytes[67..99].fill(0),
            "a commitment is no valid element",
        ),
        (
            &|bytes| bytes[99..131].fill(0xff),
            "the proof of knowledge is not a valid encoding",
        ),
        (
            &|bytes| bytes[131..163].fill(0xff),
            "the proof of knowledge is not a valid encoding",
        ),
    ] {
        assert_eq!(
            judge(alter),
            Some(CeremonyError::Malformed { keyholder, what }),
            "{what}"
        );
    }
    // The commitment of another, whose secret this one does not know; a proof altered.
    let theirs = generation.public[&3].as_bytes()[35..67].to_vec();
    assert_eq!(
        judge(&|bytes| bytes[35..67].copy_from_slice(&theirs)),
        Some(CeremonyError::ProofOfKnowledge { keyholder })
    );
    assert_eq!(
        judge(&|bytes| bytes[131] ^= 1),
        Some(CeremonyError::ProofOfKnowledge { keyholder })
    );
    // The whole statement of another under this one's name.
    let theirs = generation.public[&3].as_bytes()[35..].to_vec();
    assert_eq!(
        judge(&|bytes| bytes[35..].copy_from_slice(&theirs)),
        Some(CeremonyError::ProofOfKnowledge { keyholder })
    );
}

#[test]
fn a_message_of_an_earlier_ceremony_is_refused() {
    let mut rng = rng(5);
    let earlier = Generation::new(&plan(1, 2, &[1, 2, 3]), &mut rng);
    for later in [
        plan(2, 2, &[1, 2, 3]),
        plan(1, 3, &[1, 2, 3]),
        plan(1, 2, &[1, 2]),
        DkgPlan::new(CeremonyId::new([1; 32]), 2, 2, ids(&[1, 2, 3])).unwrap(),
    ] {
        let generation = Generation::new(&later, &mut rng);
        let mut public = generation.public.clone();
        public.insert(2, earlier.public[&2].clone());
        assert_eq!(
            generation.parties[&1].secret_messages(&public).err(),
            Some(CeremonyError::WrongCeremony { keyholder: 2 })
        );
    }
}

#[test]
fn strangers_and_swapped_messages_are_refused() {
    let mut rng = rng(6);
    let generation = Generation::new(&plan(1, 2, &[1, 2, 3]), &mut rng);
    let one = &generation.parties[&1];
    let mut public = generation.public.clone();
    public.insert(4, public[&3].clone());
    assert_eq!(
        one.secret_messages(&public).err(),
        Some(CeremonyError::NotTakingPart { keyholder: 4 })
    );
    let mut public = generation.public.clone();
    let other = Generation::new(&plan(1, 2, &[1, 2, 3]), &mut rng);
    public.insert(1, other.public[&1].clone());
    assert_eq!(
        one.secret_messages(&public).err(),
        Some(CeremonyError::OwnMessageAltered)
    );
    assert_eq!(
        Dkg::start(plan(1, 2, &[1, 2]), 3, &mut rng).err(),
        Some(CeremonyError::NotTakingPart { keyholder: 3 })
    );
    // One's own secret message back.
    let mut secret = deliver(&generation.sent, 1);
    secret.insert(1, secret[&2].clone());
    assert_eq!(
        one.finish(&generation.public, &secret).err(),
        Some(CeremonyError::NotTakingPart { keyholder: 1 })
    );
}

#[test]
fn a_wrong_secret_message_names_its_sender() {
    let mut rng = rng(7);
    let generation = Generation::new(&plan(1, 2, &[1, 2, 3]), &mut rng);
    let judge = |alter: &dyn Fn(&mut Vec<u8>)| {
        let mut secret = deliver(&generation.sent, 1);
        let mut bytes = secret[&3].as_bytes().to_vec();
        alter(&mut bytes);
        secret.insert(3, SecretMessage::new(bytes));
        generation.parties[&1]
            .finish(&generation.public, &secret)
            .err()
    };
    let keyholder = 3;
    assert_eq!(judge(&|_| ()), None);
    // The share itself: another number, and none at all.
    assert_eq!(
        judge(&|bytes| bytes[69] ^= 1),
        Some(CeremonyError::Contradiction { keyholder })
    );
    assert_eq!(
        judge(&|bytes| bytes[69..].fill(0xff)),
        Some(CeremonyError::Malformed {
            keyholder,
            what: "a number is out of range"
        })
    );
    // The message for another, in whole or in part.
    let others = generation.sent[&3][&2].as_bytes().to_vec();
    assert_eq!(
        judge(&|bytes| bytes.copy_from_slice(&others)),
        Some(CeremonyError::WrongRecipient {
            keyholder,
            recipient: 2
        })
    );
    assert_eq!(
        judge(&|bytes| bytes[69..].copy_from_slice(&others[69..])),
        Some(CeremonyError::Contradiction { keyholder })
    );
    assert_eq!(
        judge(&|bytes| bytes[0] = 1),
        Some(CeremonyError::WrongRound { keyholder })
    );
}

#[test]
fn two_stories_are_noticed() {
    let mut rng = rng(8);
    let plan = plan(1, 2, &[1, 2, 3]);
    let generation = Generation::new(&plan, &mut rng);
    // Keyholder 3 publishes one polynomial to 1 and another to 2, each in order by itself.
    let second_face = Dkg::start(plan, 3, &mut rng).unwrap();
    let mut told_to_two = generation.public.clone();
    told_to_two.insert(3, second_face.public_message().clone());
    let from_two = generation.parties[&2]
        .secret_messages(&told_to_two)
        .unwrap();
    let mut secret = deliver(&generation.sent, 1);
    secret.insert(2, from_two[&1].clone());
    assert_eq!(
        generation.parties[&1]
            .finish(&generation.public, &secret)
            .err(),
        Some(CeremonyError::ViewsDiffer { keyholder: 2 })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One flipped bit in a public message is always blamed on its sender; random bytes too.
    #[test]
    fn foreign_bytes_are_blamed_and_never_panic(
        position in 0usize..163,
        bit in 0u8..8,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut rng = rng(16);
        let generation = Generation::new(&plan(1, 2, &[1, 2, 3]), &mut rng);
        let error = judge_public(&generation, |bytes| bytes[position] ^= 1 << bit);
        let blamed = matches!(
            error,
            Some(
                CeremonyError::WrongRound { keyholder: 2 }
                    | CeremonyError::WrongCeremony { keyholder: 2 }
                    | CeremonyError::WrongSender { keyholder: 2, .. }
                    | CeremonyError::Malformed { keyholder: 2, .. }
                    | CeremonyError::ProofOfKnowledge { keyholder: 2 }
            )
        );
        // A higher coefficient's commitment may turn into another valid one: the shares then
        // contradict it.
        prop_assert!(blamed || (67..99).contains(&position), "{:?}", error);
        prop_assert!(judge_public(&generation, |message| *message = bytes.clone()).is_some());
        let mut secret = deliver(&generation.sent, 1);
        secret.insert(2, SecretMessage::new(bytes.clone()));
        prop_assert!(generation.parties[&1].finish(&generation.public, &secret).is_err());
        prop_assert!(Dkg::from_bytes(plan(1, 2, &[1, 2, 3]), 1, &bytes).is_err());
    }
}

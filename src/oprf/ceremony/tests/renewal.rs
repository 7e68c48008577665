//! Refresh, repair, replacement.

use super::*;

#[test]
fn a_refresh_changes_the_shares_and_not_the_key() {
    let mut rng = rng(9);
    let old = generate(3, &[1, 2, 3, 5], &mut rng);
    let key = &old[&1].1;
    let new = refresh(&refresh_plan(2, key, &[1, 2, 3, 5]), &old, &mut rng);
    let new_key = &new[&1].1;
    assert_eq!(new_key.public(), key.public());
    assert_eq!(
        (new_key.epoch(), new_key.threshold()),
        (key.epoch(), key.threshold())
    );
    for id in [1, 2, 3, 5] {
        assert_eq!(
            new_key.check_share(&old[&id].0),
            Err(OprfError::ShareMismatch { keyholder: id })
        );
    }
    let before = token(key, &[&old[&1].0, &old[&2].0, &old[&5].0], &mut rng).unwrap();
    let after = token(new_key, &[&new[&3].0, &new[&2].0, &new[&5].0], &mut rng).unwrap();
    assert!(before == after);
    // Old and new shares do not mix.
    assert_eq!(
        token(new_key, &[&new[&3].0, &old[&2].0, &new[&5].0], &mut rng).err(),
        Some(OprfError::Keyholder {
            keyholder: 2,
            fault: KeyholderFault::Proof
        })
    );
    let mixed = reconstruct(&[&new[&3].0, &old[&2].0, &new[&5].0]);
    assert_ne!(
        PublicPoint::encode(&RistrettoPoint::mul_base(&mixed)),
        key.public()
    );
}

#[test]
fn a_keyholder_left_out_of_a_refresh_is_removed() {
    let mut rng = rng(10);
    let old = generate(2, &[1, 2, 3], &mut rng);
    let key = &old[&1].1;
    let new = refresh(&refresh_plan(2, key, &[1, 3]), &old, &mut rng);
    let new_key = &new[&1].1;
    assert_eq!(
        new_key
            .verifying_shares()
            .map(|(id, _)| id)
            .collect::<Vec<_>>(),
        [1, 3]
    );
    assert_eq!(
        new_key.subset(&[1, 2]).err(),
        Some(OprfError::UnknownKeyholder { keyholder: 2 })
    );
    let before = token(key, &[&old[&1].0, &old[&2].0], &mut rng).unwrap();
    assert!(before == token(new_key, &[&new[&1].0, &new[&3].0], &mut rng).unwrap());
}

#[test]
fn wrong_messages_of_a_refresh_name_their_sender() {
    let mut rng = rng(11);
    let old = generate(2, &[1, 2, 3], &mut rng);
    let plan = refresh_plan(2, &old[&1].1, &[1, 2, 3]);
    let parties: BTreeMap<u16, Refresh> = [1, 2, 3]
        .map(|id| (id, Refresh::start(plan.clone(), id, &mut rng).unwrap()))
        .into();
    let public: Public = parties
        .iter()
        .map(|(id, party)| (*id, party.public_message().clone()))
        .collect();
    let sent: BTreeMap<u16, Secret> = parties
        .iter()
        .map(|(id, party)| (*id, party.secret_messages(&public).unwrap()))
        .collect();
    let mut secret = deliver(&sent, 1);
    let mut bytes = secret[&2].as_bytes().to_vec();
    bytes[69] ^= 1;
    secret.insert(2, SecretMessage::new(bytes));
    assert_eq!(
        parties[&1].finish(&public, &secret, &old[&1].0).err(),
        Some(CeremonyError::Contradiction { keyholder: 2 })
    );
    // Another's old share, and one that is not of this key.
    let secret = deliver(&sent, 1);
    assert_eq!(
        parties[&1].finish(&public, &secret, &old[&2].0).err(),
        Some(CeremonyError::NotTakingPart { keyholder: 2 })
    );
    let stray = KeyShare::new(1, Scalar::random(&mut rng)).unwrap();
    assert_eq!(
        parties[&1].finish(&public, &secret, &stray).err(),
        Some(CeremonyError::Key(OprfError::ShareMismatch {
            keyholder: 1
        }))
    );
    // A key generation's message does not pass for a refresh's.
    let mut foreign = public;
    let dkg = Generation::new(&super::plan(2, 2, &[1, 2, 3]), &mut rng);
    foreign.insert(3, dkg.public[&3].clone());
    assert_eq!(
        parties[&1].secret_messages(&foreign).err(),
        Some(CeremonyError::WrongRound { keyholder: 3 })
    );
}

#[test]
fn a_lost_share_is_restored() {
    let mut rng = rng(12);
    let holders = generate(3, &[1, 2, 3, 4, 5], &mut rng);
    let key = &holders[&1].1;
    for helpers in [&[1, 2, 3][..], &[2, 3, 4, 5][..4], &[5, 3, 1]] {
        let target = (1..=5).find(|id| !helpers.contains(id)).unwrap();
        let (share, same) = repair(&repair_plan(3, key, helpers, target), &holders, &mut rng);
        assert_eq!(share.to_bytes(), holders[&target].0.to_bytes());
        assert_eq!(same, *key);
    }
}

#[test]
fn a_keyholder_is_replaced() {
    let mut rng = rng(13);
    let mut holders = generate(3, &[1, 2, 3, 4], &mut rng);
    let key = holders[&1].1.clone();
    let before = token(
        &key,
        &[&holders[&1].0, &holders[&2].0, &holders[&4].0],
        &mut rng,
    );

    // A share for keyholder 9, who is new, without the help of 4, who is to go.
    let (share, extended) = repair(&repair_plan(3, &key, &[1, 2, 3], 9), &holders, &mut rng);
    assert_eq!(extended.public(), key.public());
    assert_eq!(extended.check_share(&share), Ok(()));
    holders.insert(9, (share, extended.clone()));

    // New shares for all but 4.
    let new = refresh(
        &refresh_plan(4, &extended, &[1, 2, 3, 9]),
        &holders,
        &mut rng,
    );
    let new_key = &new[&9].1;
    let after = token(new_key, &[&new[&9].0, &new[&2].0, &new[&3].0], &mut rng);
    assert!(before.unwrap() == after.unwrap());
    assert_eq!(
        new_key.check_share(&holders[&4].0),
        Err(OprfError::UnknownKeyholder { keyholder: 4 })
    );
}

#[test]
fn wrong_messages_of_a_repair_name_their_sender() {
    let mut rng = rng(14);
    let holders = generate(2, &[1, 2, 3], &mut rng);
    let key = &holders[&1].1;
    let plan = repair_plan(3, key, &[1, 2], 3);
    let one = RepairHelper::start(plan.clone(), &holders[&1].0, &mut rng).unwrap();
    let two = RepairHelper::start(plan.clone(), &holders[&2].0, &mut rng).unwrap();
    let public: Public = [
        (1, one.public_message().clone()),
        (2, two.public_message().clone()),
    ]
    .into();
    let to_one: Secret = [(2, two.secret_messages()[&1].clone())].into();
    let to_two: Secret = [(1, one.secret_messages()[&2].clone())].into();
    let answers: Secret = [
        (1, one.answer(&public, &to_one).unwrap()),
        (2, two.answer(&public, &to_two).unwrap()),
    ]
    .into();
    assert!(recover(&plan, &public, &answers).is_ok());

    let altered = |bytes: &[u8], position: usize| {
        let mut bytes = bytes.to_vec();
        bytes[position] ^= 1;
        bytes
    };
    // A part that differs from what was published.
    let false_part: Secret = [(2, SecretMessage::new(altered(to_one[&2].as_bytes(), 37)))].into();
    assert_eq!(
        one.answer(&public, &false_part).err(),
        Some(CeremonyError::Contradiction { keyholder: 2 })
    );
    // Parts published that do not add up to what the helper's share demands.
    let mut bytes = public[&2].as_bytes().to_vec();
    bytes.copy_within(67..99, 35);
    let mut false_public = public.clone();
    false_public.insert(2, PublicMessage::new(bytes));
    let contradiction = Some(CeremonyError::Contradiction { keyholder: 2 });
    assert_eq!(one.answer(&false_public, &to_one).err(), contradiction);
    assert_eq!(verify_repair(&plan, &false_public).err(), contradiction);
    assert_eq!(recover(&plan, &false_public, &answers).err(), contradiction);
    // A false sum.
    let mut false_answers = answers.clone();
    false_answers.insert(2, SecretMessage::new(altered(answers[&2].as_bytes(), 69)));
    assert_eq!(recover(&plan, &public, &false_answers).err(), contradiction);
    // Another view; someone missing.
    let mut false_answers = answers.clone();
    false_answers.insert(1, SecretMessage::new(altered(answers[&1].as_bytes(), 40)));
    assert_eq!(
        recover(&plan, &public, &false_answers).err(),
        Some(CeremonyError::ViewsDiffer { keyholder: 1 })
    );
    false_answers.remove(&1);
    assert_eq!(
        recover(&plan, &public, &false_answers).err(),
        Some(CeremonyError::Missing {
            keyholders: vec![1]
        })
    );
}

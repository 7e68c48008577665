//! Everything that is not as it should be is refused, and its author named.

use super::*;
use proptest::prelude::*;
use pseudonym::{Pseudonym, PseudonymKey, verify_pseudonym};

/// A 2-of-3 coalition in the middle of an evaluation of three inputs by keyholders 1 and 3.
struct Scene {
    key: CoalitionKey,
    shares: Vec<KeyShare>,
    subset: Subset,
    inputs: [&'static [u8]; 3],
    blinded: Blinded,
    answers: [Evaluation; 2],
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut rng = rng(seed);
        let (key, shares) = deal(Scalar::random(&mut rng), 2, &[1, 2, 3], &mut rng);
        let subset = key.subset(&[1, 3]).unwrap();
        let inputs: [&[u8]; 3] = [b"a", b"b", b"c"];
        let blinded = blind(&BatchSeed::generate(&mut rng), &inputs).unwrap();
        let answers = [&shares[0], &shares[2]]
            .map(|share| evaluate(share, &subset, blinded.batch(), &mut rng).unwrap());
        Self {
            key,
            shares,
            subset,
            inputs,
            blinded,
            answers,
        }
    }

    fn verify(&self, keyholder: u16, answer: &Evaluation) -> Result<VerifiedShare, OprfError> {
        verify(
            &self.key,
            &self.subset,
            keyholder,
            self.blinded.batch(),
            answer,
        )
    }

    #[track_caller]
    fn accused(&self, keyholder: u16, answer: &Evaluation, fault: KeyholderFault) {
        assert_eq!(
            self.verify(keyholder, answer).err(),
            Some(OprfError::Keyholder { keyholder, fault })
        );
    }
}

#[test]
fn an_altered_answer_accuses_its_keyholder() {
    let scene = Scene::new(1);
    let answer = &scene.answers[1];
    assert!(scene.verify(3, answer).is_ok());

    // Another valid point, and two valid points swapped.
    let mut altered = answer.clone();
    altered.elements[1] = scene.answers[0].elements[1];
    scene.accused(3, &altered, KeyholderFault::Proof);
    let mut altered = answer.clone();
    altered.elements.swap(0, 2);
    scene.accused(3, &altered, KeyholderFault::Proof);

    // Points that are none.
    for (bytes, fault) in [
        ([0; 32], ElementFault::Identity),
        ([0xff; 32], ElementFault::NotCanonical),
    ] {
        let mut altered = answer.clone();
        altered.elements[2] = bytes.into();
        scene.accused(3, &altered, KeyholderFault::Element { index: 2, fault });
    }

    // Too few, too many.
    for count in [0, 2, 4] {
        let mut altered = answer.clone();
        altered.elements.resize(count, answer.elements[0]);
        scene.accused(
            3,
            &altered,
            KeyholderFault::Count {
                expected: 3,
                got: count,
            },
        );
    }

    // The proof: another one, and bytes that are no scalars.
    let mut altered = answer.clone();
    altered.proof = scene.answers[0].proof;
    scene.accused(3, &altered, KeyholderFault::Proof);
    altered.proof = [0xff; 64].into();
    scene.accused(3, &altered, KeyholderFault::ProofEncoding);
    altered.proof = [0; 64].into();
    scene.accused(3, &altered, KeyholderFault::Proof);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let scene = Scene::new(2);
    for byte in 0..64 {
        for bit in 0..8 {
            let mut proof = *scene.answers[0].proof.as_bytes();
            proof[byte] ^= 1 << bit;
            let answer = Evaluation {
                proof: proof.into(),
                ..scene.answers[0].clone()
            };
            assert!(matches!(
                scene.verify(1, &answer).err(),
                Some(OprfError::Keyholder {
                    keyholder: 1,
                    fault: KeyholderFault::Proof | KeyholderFault::ProofEncoding,
                })
            ));
            if byte < 32 {
                let mut answer = scene.answers[0].clone();
                let mut element = *answer.elements[0].as_bytes();
                element[byte] ^= 1 << bit;
                answer.elements[0] = element.into();
                assert!(matches!(
                    scene.verify(1, &answer).err(),
                    Some(OprfError::Keyholder { keyholder: 1, .. })
                ));
            }
        }
    }
}

#[test]
fn a_keyholder_cannot_use_another_key_subset_or_batch() {
    let scene = Scene::new(3);
    let mut rng = rng(4);
    let batch = scene.blinded.batch();

    // A share of its own making.
    let invented = KeyShare::new(3, Scalar::random(&mut rng)).unwrap();
    let answer = evaluate(&invented, &scene.subset, batch, &mut rng).unwrap();
    scene.accused(3, &answer, KeyholderFault::Proof);

    // Its true share with the coefficient of another subset.
    let other = scene.key.subset(&[2, 3]).unwrap();
    let answer = evaluate(&scene.shares[2], &other, batch, &mut rng).unwrap();
    scene.accused(3, &answer, KeyholderFault::Proof);

    // The right answer to another batch.
    let others = blind(&BatchSeed::generate(&mut rng), &scene.inputs).unwrap();
    let answer = evaluate(&scene.shares[2], &scene.subset, others.batch(), &mut rng).unwrap();
    scene.accused(3, &answer, KeyholderFault::Proof);

    // The answer of one keyholder under the name of another.
    scene.accused(1, &scene.answers[1], KeyholderFault::Proof);

    // A keyholder outside the subset, or unknown.
    assert_eq!(
        evaluate(&scene.shares[1], &scene.subset, batch, &mut rng),
        Err(OprfError::NotInSubset { keyholder: 2 })
    );
    assert_eq!(
        scene.verify(2, &scene.answers[0]).err(),
        Some(OprfError::NotInSubset { keyholder: 2 })
    );
    assert_eq!(
        scene.verify(9, &scene.answers[0]).err(),
        Some(OprfError::UnknownKeyholder { keyholder: 9 })
    );
}

#[test]
fn a_member_cannot_send_unusable_elements() {
    let good: Vec<_> = Scene::new(5).blinded.batch().elements().collect();
    for (bytes, fault) in [
        ([0; 32], ElementFault::Identity),
        ([0xff; 32], ElementFault::NotCanonical),
    ] {
        let mut elements = good.clone();
        elements[1] = bytes.into();
        assert_eq!(
            BlindedBatch::parse(&elements).err(),
            Some(OprfError::Element { index: 1, fault })
        );
    }
}

#[test]
fn only_one_whole_evaluation_is_combined() {
    let scene = Scene::new(6);
    let mut rng = rng(7);
    let one = scene.verify(1, &scene.answers[0]).unwrap();
    let three = scene.verify(3, &scene.answers[1]).unwrap();
    let combine_with =
        |shares: &[VerifiedShare]| combine(&scene.key, &scene.blinded, &scene.inputs, shares).err();
    assert_eq!(combine_with(&[three.clone(), one.clone()]), None);
    for shares in [
        vec![],
        vec![one.clone()],
        vec![one.clone(), one.clone()],
        vec![one.clone(), three.clone(), three.clone()],
    ] {
        assert_eq!(combine_with(&shares), Some(OprfError::Assembly));
    }

    // From another subset, another batch.
    let other = scene.key.subset(&[2, 3]).unwrap();
    let batch = scene.blinded.batch();
    let answer = evaluate(&scene.shares[2], &other, batch, &mut rng).unwrap();
    let stray = verify(&scene.key, &other, 3, batch, &answer).unwrap();
    assert_eq!(
        combine_with(&[one.clone(), stray]),
        Some(OprfError::Assembly)
    );
    let others = blind(&BatchSeed::generate(&mut rng), &scene.inputs).unwrap();
    let answer = evaluate(&scene.shares[2], &scene.subset, others.batch(), &mut rng).unwrap();
    let stray = verify(&scene.key, &scene.subset, 3, others.batch(), &answer).unwrap();
    assert_eq!(
        combine_with(&[one.clone(), stray]),
        Some(OprfError::Assembly)
    );

    // Under another key, or with other inputs.
    let (other_key, _) = deal(Scalar::random(&mut rng), 2, &[1, 2, 3], &mut rng);
    let both = [one, three];
    assert_eq!(
        combine(&other_key, &scene.blinded, &scene.inputs, &both).err(),
        Some(OprfError::Assembly)
    );
    for inputs in [
        &[&b"a"[..], b"c", b"b"][..],
        &[b"a", b"b"],
        &[b"a", b"bc", b""],
    ] {
        assert_eq!(
            combine(&scene.key, &scene.blinded, inputs, &both).err(),
            Some(OprfError::OtherInputs)
        );
    }
}

#[test]
fn subsets_are_exact() {
    let scene = Scene::new(8);
    let subset = |ids: &[u16]| {
        scene
            .key
            .subset(ids)
            .map(|subset| subset.members().to_vec())
    };
    assert_eq!(subset(&[3, 2]), Ok(vec![2, 3]));
    assert_eq!(
        subset(&[2, 2]),
        Err(OprfError::SubsetRepeats { keyholder: 2 })
    );
    assert_eq!(
        subset(&[2, 0]),
        Err(OprfError::UnknownKeyholder { keyholder: 0 })
    );
    assert_eq!(
        subset(&[1, 4]),
        Err(OprfError::UnknownKeyholder { keyholder: 4 })
    );
    assert_eq!(
        subset(&[1]),
        Err(OprfError::SubsetSize {
            threshold: 2,
            count: 1
        })
    );
    assert_eq!(
        subset(&[1, 2, 3]),
        Err(OprfError::SubsetSize {
            threshold: 2,
            count: 3
        })
    );
    assert_eq!(
        subset(&[]),
        Err(OprfError::SubsetSize {
            threshold: 2,
            count: 0
        })
    );
}

#[test]
fn a_coalition_key_must_be_of_one_piece() {
    let mut rng = rng(9);
    let (key, _) = deal(Scalar::random(&mut rng), 3, &[1, 2, 3, 4, 9], &mut rng);
    let shares: BTreeMap<u16, PublicPoint> = key.verifying_shares().collect();
    let stray = PublicPoint::encode(&RistrettoPoint::random(&mut rng));
    assert!(CoalitionKey::new(1, 3, key.public(), &shares) == Ok(key.clone()));

    // A false share is named wherever it stands.
    for &id in shares.keys() {
        let mut altered = shares.clone();
        altered.insert(id, stray);
        assert_eq!(
            CoalitionKey::new(1, 3, key.public(), &altered),
            Err(OprfError::InconsistentShares { suspect: Some(id) })
        );
    }
    // Two, a false public key, or a wrong threshold leave nobody to name.
    let mut altered = shares.clone();
    altered.insert(1, stray);
    altered.insert(2, key.public());
    for (threshold, public, shares) in [
        (3, key.public(), &altered),
        (3, stray, &shares),
        (2, key.public(), &shares),
    ] {
        assert_eq!(
            CoalitionKey::new(1, threshold, public, shares),
            Err(OprfError::InconsistentShares { suspect: None })
        );
    }
    // With too few shares to tell, none is accused.
    let mut few: BTreeMap<_, _> = shares.iter().take(3).map(|(id, s)| (*id, *s)).collect();
    assert!(CoalitionKey::new(1, 3, key.public(), &few).is_ok());
    few.insert(2, stray);
    assert_eq!(
        CoalitionKey::new(1, 3, key.public(), &few),
        Err(OprfError::InconsistentShares { suspect: None })
    );

    for threshold in [0, 1, 6] {
        assert_eq!(
            CoalitionKey::new(1, threshold, key.public(), &shares),
            Err(OprfError::Threshold {
                threshold,
                keyholders: 5
            })
        );
    }
    let identity = PublicPoint::new([0; 32]);
    assert_eq!(
        CoalitionKey::new(1, 3, identity, &shares),
        Err(OprfError::PublicKey {
            fault: ElementFault::Identity
        })
    );
    let mut altered = shares.clone();
    altered.insert(4, [0xff; 32].into());
    let fault = KeyholderFault::VerifyingShare {
        fault: ElementFault::NotCanonical,
    };
    assert_eq!(
        CoalitionKey::new(1, 3, key.public(), &altered),
        Err(OprfError::Keyholder {
            keyholder: 4,
            fault
        })
    );
    let mut altered = shares;
    altered.insert(0, stray);
    assert_eq!(
        CoalitionKey::new(1, 3, key.public(), &altered),
        Err(OprfError::ZeroIdentifier)
    );
}

#[test]
fn a_false_pseudonym_is_proved_false() {
    let mut rng = rng(10);
    let key = PseudonymKey::generate(&mut rng);
    let key = PseudonymKey::from_bytes(*key.to_bytes()).unwrap();
    let public = pseudonym::PseudonymPublicKey::from_bytes(*key.public().as_bytes()).unwrap();
    let mine = key.pseudonym(b"UA-1").unwrap();
    let other = key.pseudonym(b"UA-2").unwrap();
    let proof = key.prove(b"UA-1").unwrap();
    assert_eq!(proof, key.prove(b"UA-1").unwrap());
    assert_eq!(verify_pseudonym(&public, b"UA-1", &mine, &proof), Ok(()));
    let refused = |reference: &[u8], pseudonym: &Pseudonym, proof: &pseudonym::PseudonymProof| {
        matches!(
            verify_pseudonym(&public, reference, pseudonym, proof),
            Err(OprfError::Pseudonym { .. })
        )
    };
    assert!(refused(b"UA-1", &other, &proof));
    assert!(refused(b"UA-2", &other, &proof));
    assert!(refused(b"UA-2", &mine, &proof));
    assert!(refused(b"UA-1", &other, &key.prove(b"UA-2").unwrap()));
    let mut altered = proof.clone();
    altered.element = [0; 32].into();
    assert!(refused(b"UA-1", &mine, &altered));
    let stranger = PseudonymKey::generate(&mut rng);
    let theirs = stranger.pseudonym(b"UA-1").unwrap();
    assert!(refused(b"UA-1", &theirs, &stranger.prove(b"UA-1").unwrap()));
    assert!(pseudonym::PseudonymPublicKey::from_bytes([0; 32]).is_err());
    assert!(PseudonymKey::from_bytes([0; 32]).is_err());
    assert_eq!(
        format!("{:?}", Pseudonym::new([0xab; 16])),
        format!("Pseudonym({})", "ab".repeat(16))
    );
}

proptest! {
    /// Foreign bytes of any kind are answered with an error, never with a panic.
    #[test]
    fn foreign_bytes_never_panic(
        elements in prop::collection::vec(any::<[u8; 32]>(), 0..4),
        proof in prop::collection::vec(any::<u8>(), 64),
        share in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let scene = Scene::new(11);
        let sent: Vec<_> = elements.iter().copied().map(BlindedElement::from).collect();
        if let Ok(batch) = BlindedBatch::parse(&sent) {
            prop_assert!(evaluate(&scene.shares[0], &scene.subset, &batch, &mut rng(1)).is_ok());
        }
        let proof: [u8; 64] = proof.try_into().unwrap();
        let answer = Evaluation {
            elements: elements.into_iter().map(EvaluatedElement::from).collect(),
            proof: proof.into(),
        };
        prop_assert!(scene.verify(1, &answer).is_err());
        let _ = KeyShare::from_bytes(&share);
    }
}

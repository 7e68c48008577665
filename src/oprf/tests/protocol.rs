//! What the protocol promises to honest parties.

use super::*;
use std::collections::BTreeSet;

#[test]
fn batches_of_one_and_of_the_most_work() {
    let mut rng = rng(2);
    let secret = Scalar::random(&mut rng);
    let (key, shares) = deal(secret, 2, &[1, 2], &mut rng);
    let local = LocalKey::from_bytes(secret.to_bytes()).unwrap();
    for count in [1, 2, 189, 190, 191, MAX_BATCH] {
        let inputs: Vec<String> = (0..count).map(|i| format!("rule|{i}")).collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(|s| s.as_bytes()).collect();
        let tokens = evaluate_all(&key, &[&shares[1], &shares[0]], &inputs, &mut rng).unwrap();
        assert!(tokens == local.tokens(&inputs).unwrap(), "batch of {count}");
    }
}

#[test]
fn batch_sizes_are_held() {
    let seed = BatchSeed::from_bytes(&[1; 32]);
    for count in [0, MAX_BATCH + 1] {
        let inputs = vec![&b"x"[..]; count];
        assert_eq!(
            blind(&seed, &inputs).err(),
            Some(OprfError::BatchSize { count })
        );
        let elements = vec![BlindedElement::new([0; 32]); count];
        assert_eq!(
            BlindedBatch::parse(&elements).err(),
            Some(OprfError::BatchSize { count })
        );
    }
}

#[test]
fn a_batch_can_be_made_again_and_differs_by_seed_and_index() {
    let inputs: [&[u8]; 3] = [b"same", b"same", b"other"];
    let elements = |seed: u8| -> Vec<BlindedElement> {
        let seed = BatchSeed::from_bytes(&[seed; 32]);
        blind(&seed, &inputs).unwrap().batch().elements().collect()
    };
    assert_eq!(elements(1), elements(1));
    let all: BTreeSet<_> = elements(1).into_iter().chain(elements(2)).collect();
    assert_eq!(all.len(), 6, "equal inputs must not show");
}

#[test]
fn an_opened_element_is_bound_to_its_input_and_place() {
    let inputs: [&[u8]; 2] = [b"R1|olena|2014", b"R1|taras|2012"];
    let seed = BatchSeed::from_bytes(&[9; 32]);
    let elements: Vec<_> = blind(&seed, &inputs).unwrap().batch().elements().collect();
    let opened = Blind::from_bytes(*seed.open(1).to_bytes()).unwrap();
    assert_eq!(check_opening(&opened, inputs[1], &elements[1]), Ok(()));
    for (blind, input, element) in [
        (seed.open(1), inputs[0], elements[1]),
        (seed.open(0), inputs[1], elements[1]),
        (seed.open(1), inputs[1], elements[0]),
        (
            BatchSeed::from_bytes(&[8; 32]).open(1),
            inputs[1],
            elements[1],
        ),
    ] {
        assert_eq!(
            check_opening(&blind, input, &element),
            Err(OprfError::Opening)
        );
    }
    assert!(Blind::from_bytes([0xff; 32]).is_err());
}

#[test]
fn shares_survive_storage() {
    let mut rng = rng(3);
    let (key, shares) = deal(Scalar::random(&mut rng), 2, &[5, 6], &mut rng);
    let stored = shares[0].to_bytes();
    let again = KeyShare::from_bytes(stored.as_ref()).unwrap();
    assert_eq!(again.identifier(), 5);
    assert_eq!(key.check_share(&again), Ok(()));
    assert!(KeyShare::from_bytes(&stored[..33]).is_err());
    assert!(KeyShare::from_bytes(&[]).is_err());
    let mut other = *stored;
    other[1] = 6;
    let other = KeyShare::from_bytes(&other).unwrap();
    assert_eq!(
        key.check_share(&other),
        Err(OprfError::ShareMismatch { keyholder: 6 })
    );
    let mut zero = *stored;
    zero[..2].fill(0);
    assert_eq!(
        KeyShare::from_bytes(&zero).err(),
        Some(OprfError::ZeroIdentifier)
    );
    let mut large = *stored;
    large[2..].fill(0xff);
    assert!(matches!(
        KeyShare::from_bytes(&large).err(),
        Some(OprfError::Scalar { .. })
    ));
}

#[test]
fn lookup_tokens_separate_holder_epoch_and_key() {
    let local = LocalKey::generate(&mut rng(4));
    let first = local.token(b"x").unwrap();
    let second = local.token(b"y").unwrap();
    let mut seen = BTreeSet::new();
    for token in [&first, &second, &first.ratchet()] {
        for epoch in [0, 1, u32::MAX] {
            for holder in ["pl", "de", "", "p", "l"] {
                let lookup = lookup_token(token, epoch, holder);
                assert_eq!(lookup, token.lookup_key().token(epoch, holder));
                assert!(seen.insert(lookup));
            }
        }
    }
    assert_eq!(format!("{:?}", seen.first().unwrap()), "LookupToken(..)");
}

/// HKDF-Expand as RFC 5869 writes it, over an independent HMAC.
#[test]
fn derivations_are_hkdf() {
    let token = CoalitionToken::from_bytes(&[0x2a; 64]);
    let expand = |info: &[u8]| -> [u8; 64] {
        let mut block = [0u8; 64];
        hkdf::Hkdf::<sha2::Sha512>::from_prk(token.as_bytes())
            .unwrap()
            .expand(info, &mut block)
            .unwrap();
        block
    };
    let info = [&b"wayhome/lookup/v1"[..], &[0, 0, 1, 2], b"pl"].concat();
    assert_eq!(
        lookup_token(&token, 258, "pl").as_bytes()[..],
        expand(&info)[..16]
    );
    assert_eq!(token.ratchet().as_bytes(), &expand(b"wayhome/ratchet/v1"));
    let seed = BatchSeed::from_bytes(&[0x2a; 32]);
    let mut wide = [0u8; 64];
    hkdf::Hkdf::<sha2::Sha512>::from_prk(&{
        // A PRK must be a hash's length; trailing zeros do not change an HMAC key.
        let mut prk = [0; 64];
        prk[..32].copy_from_slice(seed.as_bytes());
        prk
    })
    .unwrap()
    .expand(
        &[&b"wayhome/oprf/blind/v1"[..], &[0, 0, 3, 0xff]].concat(),
        &mut wide,
    )
    .unwrap();
    assert_eq!(
        *seed.open(1023).to_bytes(),
        Scalar::from_bytes_mod_order_wide(&wide).to_bytes()
    );
}

#[test]
fn evaluation_is_safe_from_many_threads() {
    let local = LocalKey::generate(&mut rng(5));
    let expected = local.token(b"shared").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(local.token(b"shared").unwrap() == expected));
        }
    });
}

//! Against the `voprf` crate, an independent implementation of RFC 9497.

use super::*;
use crate::oprf::dleq::{self, RFC_VOPRF, Side};
use crate::oprf::pseudonym::{PseudonymKey, verify_pseudonym};
use proptest::prelude::*;
use voprf::{
    BlindedElement as TheirBlinded, EvaluationElement, OprfClient, OprfServer, Proof as TheirProof,
    Ristretto255, VoprfClient, VoprfServer,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A coalition, a single server of theirs, and a local key agree on the output.
    #[test]
    fn tokens_agree(
        seed: u64,
        input in prop::collection::vec(any::<u8>(), 1..200),
        threshold in 2u16..5,
        extra in 0u16..4,
    ) {
        let mut rng = rng(seed);
        let secret = Scalar::random(&mut rng);
        let identifiers: Vec<u16> = (1..=threshold + extra).map(|id| id * 3).collect();
        let (key, shares) = deal(secret, threshold, &identifiers, &mut rng);
        let chosen: Vec<&KeyShare> =
            shares.iter().rev().take(usize::from(threshold)).collect();
        let ours = evaluate_all(&key, &chosen, &[&input], &mut rng).unwrap();
        let server = OprfServer::<Ristretto255>::new_with_key(secret.as_bytes()).unwrap();
        let theirs = server.evaluate(&input).unwrap();
        prop_assert_eq!(&ours[0].as_bytes()[..], &theirs[..]);
        let local = LocalKey::from_bytes(secret.to_bytes()).unwrap();
        prop_assert!(local.token(&input).unwrap() == ours[0]);
    }

    /// Their client, which multiplies its blind, is served by our keyholders and finishes rightly.
    #[test]
    fn their_client_finishes_with_our_keyholders(seed: u64, input in "[a-z]{1,40}") {
        let mut rng = rng(seed);
        let secret = Scalar::random(&mut rng);
        let (key, shares) = deal(secret, 2, &[1, 2, 3], &mut rng);
        let client = OprfClient::<Ristretto255>::blind(input.as_bytes(), &mut rng).unwrap();
        let sent: [u8; 32] = client.message.serialize().into();
        let batch = BlindedBatch::parse(&[BlindedElement::new(sent)]).unwrap();
        let subset = key.subset(&[3, 1]).unwrap();
        let sum: RistrettoPoint = [&shares[0], &shares[2]]
            .into_iter()
            .map(|share| {
                let answer = evaluate(share, &subset, &batch, &mut rng).unwrap();
                let id = share.identifier();
                verify(&key, &subset, id, &batch, &answer).unwrap().points[0]
            })
            .sum();
        let element = EvaluationElement::deserialize(sum.compress().as_bytes()).unwrap();
        let theirs = client.state.finalize(input.as_bytes(), &element).unwrap();
        let local = LocalKey::from_bytes(secret.to_bytes()).unwrap();
        let ours = local.token(input.as_bytes()).unwrap();
        prop_assert_eq!(&ours.as_bytes()[..], &theirs[..]);
    }

    /// Our batched proof in the RFC's domain is accepted by their client.
    #[test]
    fn they_accept_our_proofs(seed: u64, count in 1usize..12) {
        let mut rng = rng(seed);
        let secret = Scalar::random(&mut rng);
        let public_point = RistrettoPoint::mul_base(&secret);
        let inputs: Vec<Vec<u8>> = (0..count).map(|i| vec![i as u8; i + 1]).collect();
        let clients: Vec<_> = inputs
            .iter()
            .map(|input| VoprfClient::<Ristretto255>::blind(input, &mut rng).unwrap())
            .collect();
        let sent: Vec<BlindedElement> = clients
            .iter()
            .map(|client| BlindedElement::new(client.message.serialize().into()))
            .collect();
        let batch = BlindedBatch::parse(&sent).unwrap();
        let outputs = crate::oprf::evaluate::multiply(&secret, batch.points());
        let side = Side { points: batch.points(), encodings: batch.encodings() };
        let public = public_point.compress().to_bytes();
        let proof = dleq::prove(RFC_VOPRF, &secret, &public, side, &outputs, &[7; 32]);
        let states: Vec<_> = clients.into_iter().map(|client| client.state).collect();
        let messages: Vec<_> =
            outputs.iter().map(|o| EvaluationElement::deserialize(o).unwrap()).collect();
        let proof = TheirProof::deserialize(proof.as_bytes()).unwrap();
        let finished =
            VoprfClient::batch_finalize(&inputs, &states, &messages, &proof, public_point)
                .unwrap();
        let server = VoprfServer::<Ristretto255>::new_with_key(secret.as_bytes()).unwrap();
        for (input, output) in inputs.iter().zip(finished) {
            prop_assert_eq!(output.unwrap(), server.evaluate(input).unwrap());
        }
        // And refused for another batch.
        let mut swapped = messages;
        swapped[0] = EvaluationElement::deserialize(&outputs[count - 1]).unwrap();
        if count > 1 {
            prop_assert!(
                VoprfClient::batch_finalize(&inputs, &states, &swapped, &proof, public_point)
                    .is_err()
            );
        }
    }

    /// Their server's batched proof is accepted by us.
    #[test]
    fn we_accept_their_proofs(seed: u64, count in 1usize..12) {
        let mut rng = rng(seed);
        let server = VoprfServer::<Ristretto255>::new(&mut rng).unwrap();
        let points: Vec<_> = (0..count).map(|_| RistrettoPoint::random(&mut rng)).collect();
        let encodings: Vec<_> = points.iter().map(|p| p.compress().to_bytes()).collect();
        let blinded: Vec<TheirBlinded<Ristretto255>> =
            encodings.iter().map(|bytes| TheirBlinded::deserialize(bytes).unwrap()).collect();
        let answer = server.batch_blind_evaluate(&mut rng, &blinded).unwrap();
        let output_bytes: Vec<[u8; 32]> =
            answer.messages.iter().map(|message| message.serialize().into()).collect();
        let outputs: Vec<_> = output_bytes
            .iter()
            .map(|bytes| EvaluatedElement::new(*bytes).decode().unwrap())
            .collect();
        let proof = Proof::new(answer.proof.serialize().into());
        let public = server.get_public_key();
        let public_bytes = public.compress().to_bytes();
        let inputs = Side { points: &points, encodings: &encodings };
        let outputs = Side { points: &outputs, encodings: &output_bytes };
        prop_assert_eq!(
            dleq::verify(RFC_VOPRF, &public, &public_bytes, inputs, outputs, &proof),
            Ok(())
        );
    }

    /// Their client, with a blind of one, accepts our pseudonym proof and derives the pseudonym.
    #[test]
    fn they_accept_our_pseudonyms(seed: u64, reference in "[A-Z0-9-]{1,30}") {
        let key = PseudonymKey::generate(&mut rng(seed));
        let proof = key.prove(reference.as_bytes()).unwrap();
        let client = VoprfClient::<Ristretto255>::deterministic_blind_unchecked(
            reference.as_bytes(),
            Scalar::ONE,
        )
        .unwrap();
        let public = PublicPoint::new(*key.public().as_bytes()).decode().unwrap();
        let output = client
            .state
            .finalize(
                reference.as_bytes(),
                &EvaluationElement::deserialize(proof.element.as_bytes()).unwrap(),
                &TheirProof::deserialize(proof.proof.as_bytes()).unwrap(),
                public,
            )
            .unwrap();
        let pseudonym = key.pseudonym(reference.as_bytes()).unwrap();
        prop_assert_eq!(&output[..16], &pseudonym.as_bytes()[..]);
        prop_assert_eq!(
            verify_pseudonym(&key.public(), reference.as_bytes(), &pseudonym, &proof),
            Ok(())
        );
    }
}

//! RFC 9497, appendix A.1 (ristretto255, SHA-512).

use super::*;
use crate::oprf::dleq::{self, RFC_VOPRF, Side};
use crate::oprf::suite::{self, Mode};

struct Vector {
    input: &'static str,
    blind: &'static str,
    blinded: &'static str,
    evaluated: &'static str,
    output: &'static str,
}

/// A.1.1.1 and A.1.1.2.
const OPRF: [Vector; 2] = [
    Vector {
        input: "00",
        blind: "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
        blinded: "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c",
        evaluated: "7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e",
        output: "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3\
                 ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6",
    },
    Vector {
        input: "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
        blind: "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
        blinded: "da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418",
        evaluated: "b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25",
        output: "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4\
                 f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73",
    },
];

/// A.1.2: `skSm` and `pkSm` of mode VOPRF.
const VOPRF_KEY: &str = "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909";
const VOPRF_PUBLIC: &str = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e";

/// A.1.2.1 and A.1.2.2, with their proof and its nonce.
const VOPRF: [(Vector, &str, &str); 2] = [
    (
        Vector {
            input: "00",
            blind: "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
            blinded: "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
            evaluated: "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
            output: "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d\
                     a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
        },
        "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06\
         6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
        "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
    ),
    (
        Vector {
            input: "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
            blind: "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
            blinded: "cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c",
            evaluated: "60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468",
            output: "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60\
                     356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
        },
        "401a0da6264f8cf45bb2f5264bc31e109155600babb3cd4e5af7d181a2c9dc0a\
         67154fabf031fd936051dec80b0b6ae29c9503493dde7393b722eafdf5a50b02",
        "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
    ),
];

/// A.1.2.3: both inputs in one batch.
const BATCH_BLIND: &str = "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e";
const BATCH_BLINDED: &str = "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654";
const BATCH_EVALUATED: &str = "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a";
const BATCH_PROOF: &str = "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a\
                           5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08";
const BATCH_NONCE: &str = "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c";

fn encoded(point: &RistrettoPoint) -> String {
    hex::encode(point.compress().as_bytes())
}

/// Blind, BlindEvaluate and Finalize just as the RFC writes them, with a multiplied blind.
#[test]
fn the_reference_path_gives_every_intermediate_value() {
    for vector in &OPRF {
        let input = hex::decode(vector.input).unwrap();
        let blind = scalar(vector.blind);
        let blinded = suite::hash_to_group(Mode::Oprf, &input, 0).unwrap() * blind;
        assert_eq!(encoded(&blinded), vector.blinded);
        let evaluated = blinded * scalar(RFC_KEY);
        assert_eq!(encoded(&evaluated), vector.evaluated);
        let result = evaluated * blind.invert();
        let output = suite::finalise(&input, result.compress().as_bytes());
        assert_eq!(hex::encode(output), vector.output);
    }
}

#[test]
fn a_local_key_gives_the_output() {
    let key = LocalKey::from_bytes(scalar(RFC_KEY).to_bytes()).unwrap();
    let inputs: Vec<Vec<u8>> = OPRF.iter().map(|v| hex::decode(v.input).unwrap()).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let together = key.tokens(&inputs).unwrap();
    for ((vector, input), in_batch) in OPRF.iter().zip(&inputs).zip(&together) {
        assert_eq!(
            hex::encode(key.token(input).unwrap().as_bytes()),
            vector.output
        );
        assert_eq!(hex::encode(in_batch.as_bytes()), vector.output);
    }
}

/// The key of the vectors, shared 3-of-5: every subset, in any order, with our own blinding.
#[test]
fn every_subset_of_keyholders_gives_the_output() {
    let mut rng = rng(1);
    let identifiers = [1, 2, 7, 300, u16::MAX];
    let (key, shares) = deal(scalar(RFC_KEY), 3, &identifiers, &mut rng);
    let inputs: Vec<Vec<u8>> = OPRF.iter().map(|v| hex::decode(v.input).unwrap()).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    for a in 0..5 {
        for b in 0..5 {
            for c in 0..5 {
                if a == b || b == c || a == c {
                    continue;
                }
                let subset = [&shares[a], &shares[b], &shares[c]];
                let tokens = evaluate_all(&key, &subset, &inputs, &mut rng).unwrap();
                for (token, vector) in tokens.iter().zip(&OPRF) {
                    assert_eq!(hex::encode(token.as_bytes()), vector.output);
                }
            }
        }
    }
}

#[test]
fn proofs_are_those_of_the_vectors_and_verify() {
    let secret = scalar(VOPRF_KEY);
    let public_point = RistrettoPoint::mul_base(&secret);
    assert_eq!(encoded(&public_point), VOPRF_PUBLIC);
    let public = public_point.compress().to_bytes();
    let check = |inputs: &[RistrettoPoint], evaluated: &[&str], proof: &str, nonce: &str| {
        let input_bytes: Vec<_> = inputs.iter().map(|p| p.compress().to_bytes()).collect();
        let outputs: Vec<_> = inputs.iter().map(|point| point * secret).collect();
        let output_bytes: Vec<_> = outputs.iter().map(|p| p.compress().to_bytes()).collect();
        assert_eq!(
            output_bytes.iter().map(hex::encode).collect::<Vec<_>>(),
            evaluated
        );
        let inputs = Side {
            points: inputs,
            encodings: &input_bytes,
        };
        let made = dleq::prove_with_nonce(
            RFC_VOPRF,
            &secret,
            &public,
            inputs,
            &output_bytes,
            |_, _| scalar(nonce),
        );
        assert_eq!(hex::encode(made.as_bytes()), proof);
        let outputs = Side {
            points: &outputs,
            encodings: &output_bytes,
        };
        dleq::verify(RFC_VOPRF, &public_point, &public, inputs, outputs, &made).unwrap();
        // The same proof means nothing in the coalition's own domain.
        dleq::verify(
            dleq::COALITION,
            &public_point,
            &public,
            inputs,
            outputs,
            &made,
        )
        .unwrap_err();
    };
    let blinded = |vector: &Vector, blind: &str| {
        let input = hex::decode(vector.input).unwrap();
        suite::hash_to_group(Mode::Voprf, &input, 0).unwrap() * scalar(blind)
    };
    for (vector, proof, nonce) in &VOPRF {
        let point = blinded(vector, vector.blind);
        assert_eq!(encoded(&point), vector.blinded);
        check(&[point], &[vector.evaluated], proof, nonce);
    }
    let second = blinded(&VOPRF[1].0, BATCH_BLIND);
    assert_eq!(encoded(&second), BATCH_BLINDED);
    let first = blinded(&VOPRF[0].0, VOPRF[0].0.blind);
    check(
        &[first, second],
        &[VOPRF[0].0.evaluated, BATCH_EVALUATED],
        BATCH_PROOF,
        BATCH_NONCE,
    );
}

#[test]
fn pseudonyms_are_the_outputs_cut_short() {
    let key = pseudonym::PseudonymKey::from_bytes(scalar(VOPRF_KEY).to_bytes()).unwrap();
    assert_eq!(hex::encode(key.public().as_bytes()), VOPRF_PUBLIC);
    for (vector, _, _) in &VOPRF {
        let reference = hex::decode(vector.input).unwrap();
        let pseudonym = key.pseudonym(&reference).unwrap();
        assert_eq!(hex::encode(pseudonym.as_bytes()), vector.output[..32]);
    }
}

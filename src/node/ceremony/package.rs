//! Packages with a secret in them: encrypted to one recipient.
//!
//! HPKE (RFC 9180) in mode Base with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20Poly1305. Who sent a package is the envelope's to say, which signs it; the `info` string
//! ties the ciphertext itself to ceremony, round, sender and recipient, so nobody can sign another's
//! package as their own.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::message::Slot;
use crate::roster::Bytes32;

const LABEL: &[u8] = b"wayhome/ceremony/package/v1";

/// Length of the encapsulated key, which comes before the ciphertext.
const ENCAPSULATED: usize = 32;

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Seals a secret to the recipient of `slot`: encapsulated key, then ciphertext. `None` if the
/// recipient's key is unusable.
pub(super) fn seal(
    ceremony: &Bytes32,
    slot: &Slot,
    recipient: &Bytes32,
    secret: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Option<Vec<u8>> {
    let recipient = PublicKey::from_bytes(recipient.as_bytes()).ok()?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256, _>(
            &OpModeS::Base,
            &recipient,
            &info(ceremony, slot),
            secret,
            &[],
            rng,
        )
        .ok()?;
    Some([&encapsulated.to_bytes(), ciphertext.as_slice()].concat())
}

/// Opens a package with the recipient's secret key.
pub(super) fn open(
    ceremony: &Bytes32,
    slot: &Slot,
    key: &[u8; 32],
    package: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    open_with(&info(ceremony, slot), &[], key, package)
}

fn open_with(
    info: &[u8],
    associated_data: &[u8],
    key: &[u8; 32],
    package: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (encapsulated, ciphertext) = package.split_at_checked(ENCAPSULATED)?;
    let encapsulated = EncappedKey::from_bytes(encapsulated).ok()?;
    let key = PrivateKey::from_bytes(key).ok()?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key,
        &encapsulated,
        info,
        ciphertext,
        associated_data,
    )
    .ok()
    .map(Zeroizing::new)
}

/// Every part of unknown length goes in with its length.
fn info(ceremony: &Bytes32, slot: &Slot) -> Vec<u8> {
    let recipient = slot.recipient.as_ref().map_or("", |id| id.as_str());
    let mut info = [LABEL, ceremony.as_bytes()].concat();
    for part in [slot.round.folder(), slot.sender.as_str(), recipient] {
        info.extend_from_slice(&(part.len() as u64).to_be_bytes());
        info.extend_from_slice(part.as_bytes());
    }
    info
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::super::message::Round;
    use super::*;
    use crate::roster::MemberId;

    fn id(text: &str) -> MemberId {
        text.parse().unwrap()
    }

    fn key_pair() -> ([u8; 32], Bytes32) {
        let secret = x25519_dalek::StaticSecret::from([7; 32]);
        let public = x25519_dalek::PublicKey::from(&secret);
        (secret.to_bytes(), Bytes32::new(public.to_bytes()))
    }

    /// RFC 9180, appendix A.2.1.1, sequence number 0.
    #[test]
    fn opens_the_vector_of_the_rfc() {
        let bytes = |text: &str| hex::decode(text).unwrap();
        let key = bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let enc = bytes("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let ciphertext = bytes(
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        );
        let opened = open_with(
            b"Ode on a Grecian Urn",
            b"Count-0",
            &key.try_into().unwrap(),
            &[enc, ciphertext].concat(),
        );
        assert_eq!(*opened.unwrap(), b"Beauty is truth, truth beauty");
    }

    #[test]
    fn opens_in_its_own_place_only() {
        let (secret, public) = key_pair();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (ceremony, slot) = (Bytes32::new([1; 32]), Slot::package(&id("ua"), &id("pl")));
        let package = seal(&ceremony, &slot, &public, b"a share", &mut rng).unwrap();
        assert_eq!(
            *open(&ceremony, &slot, &secret, &package).unwrap(),
            b"a share"
        );

        let other = Bytes32::new([2; 32]);
        assert!(open(&other, &slot, &secret, &package).is_none());
        for slot in [
            Slot::package(&id("de"), &id("pl")),
            Slot::package(&id("ua"), &id("de")),
            Slot::package(&id("uap"), &id("ll")),
            Slot::to_one(Round::RepairPart, &id("ua"), &id("pl")),
        ] {
            assert!(open(&ceremony, &slot, &secret, &package).is_none());
        }
        assert!(open(&ceremony, &slot, &[8; 32], &package).is_none());
        for position in 0..package.len() {
            let mut changed = package.clone();
            changed[position] ^= 1;
            // The top bit of an X25519 point is ignored, but the key schedule still covers it.
            assert!(
                open(&ceremony, &slot, &secret, &changed).is_none(),
                "{position}"
            );
        }
    }

    #[test]
    fn nothing_is_sealed_to_a_point_of_small_order() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let slot = Slot::package(&id("ua"), &id("pl"));
        let zero = Bytes32::new([0; 32]);
        assert!(seal(&zero, &slot, &zero, b"a share", &mut rng).is_none());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let slot = Slot::package(&id("ua"), &id("pl"));
            prop_assert!(open(&Bytes32::new([1; 32]), &slot, &[7; 32], &bytes).is_none());
        }
    }
}

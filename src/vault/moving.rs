//! Moving the master key from one keeper to another: the new one wraps, both unwrap.

use rand_core::CryptoRngCore;

use super::error::VaultError;
use super::keyring::KeyWrapper;
use super::seal::{DataKey, Place};

/// Two keepers of the master key, while everything is wrapped anew by the first.
pub struct Moving<New, Old> {
    /// Wraps, and unwraps what it wrapped.
    pub new: New,
    /// Unwraps what was wrapped before.
    pub old: Old,
}

impl<New: KeyWrapper, Old: KeyWrapper> KeyWrapper for Moving<New, Old> {
    fn wrap(
        &self,
        data_key: &DataKey,
        place: Place<'_>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, VaultError> {
        self.new.wrap(data_key, place, rng)
    }

    fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, VaultError> {
        match self.new.unwrap(wrapped, place) {
            Err(VaultError::UnknownKey { .. } | VaultError::UnknownVersion { .. }) => {
                self.old.unwrap(wrapped, place)
            }
            known => known,
        }
    }

    fn is_current(&self, wrapped: &[u8]) -> Result<bool, VaultError> {
        match self.new.is_current(wrapped) {
            Err(VaultError::UnknownVersion { .. }) => self.old.is_current(wrapped).map(|_| false),
            known => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;
    use crate::vault::KeyRing;

    #[test]
    fn what_either_wrapped_opens_and_only_the_new_ones_is_current() {
        let place = Place::new("table", "column", b"row");
        let key = DataKey::generate(&mut OsRng);
        let (new, old, foreign) = (
            KeyRing::generate(&mut OsRng),
            KeyRing::generate(&mut OsRng),
            KeyRing::generate(&mut OsRng),
        );
        let before = old.wrap(&key, place, &mut OsRng).unwrap();
        let moving = Moving { new, old };
        let after = moving.wrap(&key, place, &mut OsRng).unwrap();
        for wrapped in [&before, &after] {
            let opened = moving.unwrap(wrapped, place).unwrap();
            assert!(opened.expose() == key.expose());
        }
        assert!(moving.is_current(&after).unwrap());
        assert!(!moving.is_current(&before).unwrap());
        let by_another = foreign.wrap(&key, place, &mut OsRng).unwrap();
        assert!(matches!(
            moving.unwrap(&by_another, place),
            Err(VaultError::UnknownKey { .. })
        ));
        // A value that was moved is refused by who wrapped it, and not tried with the other.
        assert!(matches!(
            moving.unwrap(&after, Place::new("table", "column", b"other")),
            Err(VaultError::DoesNotOpen)
        ));
    }
}

//! What the trust store keeps between runs, so that a restart forgets no version and no time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document::Kind;
use super::signed;
use super::trusted::{TrustedRoot, TrustedRoster};
use super::{Root, RosterError, Timestamp, TrustStore};

const FORMAT: &str = "wayhome/trust-state/v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: String,
    floor: u32,
    last_seen: Timestamp,
    roots: Vec<String>,
    roster: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<String>,
}

impl TrustStore {
    /// The state as bytes (JSON). It holds nothing secret, but whoever can replace it by an older
    /// one can take the node back in time: keep it where the node keeps its log.
    #[must_use]
    pub fn to_state(&self) -> Vec<u8> {
        let state = State {
            format: FORMAT.to_owned(),
            floor: self.floor,
            last_seen: self.last_seen,
            roots: self
                .roots
                .iter()
                .map(|root| root.note().to_owned())
                .collect(),
            roster: self.roster.as_ref().map(|roster| roster.note().to_owned()),
            past: self.past.as_ref().map(|roster| roster.note().to_owned()),
        };
        // Texts and numbers alone: nothing here can fail to serialise.
        serde_json::to_vec(&state).unwrap_or_default()
    }

    /// Takes up where [`TrustStore::to_state`] left off. Every signature is checked again, from
    /// the pinned root on.
    pub fn from_state(pinned_root: &[u8], state: &[u8]) -> Result<Self, RosterError> {
        let pinned = TrustedRoot::pin(pinned_root)?;
        let corrupt = |reason: String| RosterError::StateCorrupt { reason };
        let state: State =
            serde_json::from_slice(state).map_err(|error| corrupt(error.to_string()))?;
        if state.format != FORMAT {
            return Err(corrupt(format!("it is not of the format {FORMAT}")));
        }

        // The pin may have been moved forward along the chain since; what came before is history.
        let read = |note: &String| signed::read(Kind::Root, note.as_bytes());
        let notes = state
            .roots
            .iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        let start = notes
            .iter()
            .position(|note| signed::digest(note) == pinned.digest());
        let mismatch = || RosterError::StateMismatch {
            pinned: pinned.digest(),
        };
        let (mut store, rest) = match (start, notes.split_first()) {
            (Some(start), _) => (Self::from_pin(pinned.clone()), &notes[start + 1..]),
            // The pin may also have been put ahead of the chain: see below.
            (None, Some((first, rest))) => {
                let first = TrustedRoot::new(signed::verify_own(first)?);
                (Self::from_pin(first), rest)
            }
            (None, None) => return Err(mismatch()),
        };
        for note in rest {
            signed::verify::<Root>(note, store.root().root())?;
            let next = TrustedRoot::new(signed::verify_own(note)?);
            if Some(next.version()) != store.root().version().checked_add(1) {
                return Err(corrupt(format!("root {} is out of order", next.version())));
            }
            store.roots.push(next);
        }
        if let Some(roster) = &state.roster {
            let roster = TrustedRoster::verify(store.root(), roster.as_bytes())?;
            store.roster = Some(Arc::new(roster));
        }
        if let Some(past) = &state.past {
            // Some root of the chain vouched for it; if that is gone with a moved pin, it is lost,
            // and only contacts with it.
            let by = |root| TrustedRoster::verify(root, past.as_bytes()).ok();
            store.past = store.roots.iter().find_map(by).map(Arc::new);
        }
        store.floor = state.floor;
        store.last_seen = state.last_seen;
        if start.is_none() {
            // A pin that the chain does not contain counts only as the direct successor of its
            // newest root, by the same rules as any. What the chain began from then needs no other
            // proof: the roots in it sign for the pin, which the operator vouches for.
            let at = store.last_seen.unix();
            let _ = store
                .update_root(pinned.note().as_bytes(), at)
                .map_err(|_| mismatch())?;
            store.pin = pinned;
        }
        Ok(store)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::*;
    use super::super::*;

    fn pinned() -> Vec<u8> {
        signed_root(&root(1, &["a", "b", "c"]), &["a", "b"])
    }

    #[test]
    fn a_restart_forgets_nothing() {
        let mut store = store();
        let second = signed_root(&root(2, &["a", "b", "d"]), &["a", "b"]);
        assert_eq!(store.update_root(&second, now() + 100), Ok(Update::Updated));
        let again = TrustStore::from_state(&pinned(), &store.to_state()).unwrap();
        assert_eq!(again.to_state(), store.to_state());
        assert_eq!(
            again.versions(),
            Versions {
                root: 2,
                roster: 5,
                roster_root: 1,
            }
        );
        assert_eq!(
            again.roster_in_force(now()).unwrap_err().code(),
            "CLOCK_WENT_BACK"
        );
    }

    #[test]
    fn the_pin_may_move_forward_along_the_chain() {
        let mut store = store();
        let second = signed_root(&root(2, &["a", "b", "d"]), &["a", "b"]);
        assert_eq!(store.update_root(&second, now()), Ok(Update::Updated));
        let moved = TrustStore::from_state(&second, &store.to_state()).unwrap();
        assert_eq!(moved.versions(), store.versions());
        assert_eq!(moved.roots_above(0).count(), 1);

        // An operator may put the successor of the newest root in the pin's place.
        let third = signed_root(&root(3, &["a", "e", "f"]), &["a", "b", "e"]);
        let ahead = TrustStore::from_state(&third, &store.to_state()).unwrap();
        assert_eq!(ahead.versions().root, 3);
        assert_eq!(ahead.roots_above(0).count(), 3);
        // What was kept before knows nothing of that pin; read again, it does not take it back.
        let again = ahead.pinned().note().as_bytes();
        let again = TrustStore::from_state(again, &store.to_state()).unwrap();
        assert_eq!(again.to_state(), ahead.to_state());
        // Neither one that skips a version nor one that the old keys did not sign.
        for wrong in [
            signed_root(&root(4, &["a", "e", "f"]), &["a", "b", "e"]),
            signed_root(&root(3, &["e", "f"]), &["e", "f"]),
        ] {
            let refusal = TrustStore::from_state(&wrong, &store.to_state()).unwrap_err();
            assert_eq!(refusal.code(), "STATE_MISMATCH");
        }

        let elsewhere = signed_root(&root(1, &["x", "y"]), &["x", "y"]);
        let refusal = TrustStore::from_state(&elsewhere, &store.to_state()).unwrap_err();
        assert_eq!(refusal.code(), "STATE_MISMATCH");
    }

    #[test]
    fn a_state_is_verified_like_a_file_from_a_stranger() {
        let text = String::from_utf8(store().to_state()).unwrap();
        let read = |text: &str| {
            TrustStore::from_state(&pinned(), text.as_bytes()).map_err(|error| error.code())
        };
        assert!(read(&text).is_ok());
        let altered = text.replacen("\\\"index_cap\\\": 50000", "\\\"index_cap\\\": 90000", 1);
        assert_ne!(altered, text);
        assert_eq!(read(&altered).unwrap_err(), "BAD_SIGNATURE");
        assert_eq!(
            read(&text.replace("state/v1", "state/v2")).unwrap_err(),
            "STATE_CORRUPT"
        );
        assert_eq!(read(&text[..text.len() - 1]).unwrap_err(), "STATE_CORRUPT");
        assert_eq!(read("").unwrap_err(), "STATE_CORRUPT");

        let mut forged = store();
        forged
            .roots
            .push(TrustedRoot::pin(&signed_root(&root(2, &["x", "y"]), &["x", "y"])).unwrap());
        let forged = String::from_utf8(forged.to_state()).unwrap();
        assert_eq!(read(&forged).unwrap_err(), "UNKNOWN_KEY");
        let mut gap = store();
        gap.roots
            .push(TrustedRoot::pin(&signed_root(&root(3, &["a", "b"]), &["a", "b"])).unwrap());
        let gap = String::from_utf8(gap.to_state()).unwrap();
        assert_eq!(read(&gap).unwrap_err(), "STATE_CORRUPT");
    }

    proptest! {
        #[test]
        fn foreign_states_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(TrustStore::from_state(&pinned(), &bytes).is_err());
            prop_assert!(TrustStore::from_state(&bytes, &bytes).is_err());
        }
    }
}

//! A coalition in temporary folders: real keys, real files, a clock that stands still.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use tempfile::TempDir;

use super::plan::SharingPlan;
use super::*;
use crate::ambient::{ManualClock, Randomness};
use crate::envelope::{KeyName, Note, NoteSigner, SigningKey};
use crate::node::{Directory, Identity};
use crate::oprf::ceremony::DkgPlan;
use crate::roster::{
    CoalitionKeys, KeyholderRole, Log, Member, MemberKey, Quotas, Roles, Root, RootKey, Roster,
    Timestamp, TlsPin,
};

mod crashes;
mod flow;
mod renewal;
mod tampering;
mod wire;

const NOW: u64 = 1_772_452_800;
const NAMES: [(&str, &str); 4] = [
    ("ua", "Ukraine"),
    ("pl", "Poland"),
    ("de", "Germany"),
    ("ca", "Canada"),
];

thread_local! {
    /// How many more effects on disk succeed; all, if `None`.
    static EFFECTS_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Called before each effect on disk: here the process dies when a test says so.
pub(super) fn crash_point() -> Result<(), CeremonyError> {
    match EFFECTS_LEFT.get() {
        None => Ok(()),
        Some(0) => Err(CeremonyError::Folder {
            path: "test".to_owned(),
            reason: "the process was killed".to_owned(),
        }),
        Some(left) => {
            EFFECTS_LEFT.set(Some(left - 1));
            Ok(())
        }
    }
}

struct Seeded(Mutex<ChaCha20Rng>);

impl Randomness for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rng.fill_bytes(bytes);
    }
}

/// Four parties, a root and a roster that names them as keyholders 1 to 4.
struct Coalition {
    home: TempDir,
    ambient: Ambient,
    roster: Roster,
    trust: TrustStore,
}

impl Coalition {
    fn new() -> Self {
        let seeded = Seeded(Mutex::new(ChaCha20Rng::seed_from_u64(1)));
        let ambient = Ambient::new(ManualClock::at_ms(NOW * 1000), seeded);
        let home = tempfile::tempdir().unwrap();
        let members = (1..)
            .zip(NAMES)
            .map(|(identifier, (short, name))| {
                let directory = Directory::new(home.path().join(short));
                let identity = Identity::create(&directory, &id(short), &ambient).unwrap();
                member(short, name, identifier, &identity)
            })
            .collect();
        let roster = Roster {
            coalition: "coalition.example".to_owned(),
            version: 1,
            root_version: 1,
            issued: Timestamp::from_unix(NOW - 100),
            expires: Timestamp::from_unix(NOW + 90 * 86_400),
            coalition_key: CoalitionKeys::default(),
            members,
        };
        let mut trust = TrustStore::new(root().as_bytes()).unwrap();
        let note = signed(&roster);
        let _ = trust.update_roster(note.as_bytes(), NOW).unwrap();
        Self {
            home,
            ambient,
            roster,
            trust,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn directory(&self, who: &str) -> Directory {
        Directory::new(self.path(who))
    }

    fn identity(&self, who: &str) -> Identity {
        Identity::load(&self.directory(who)).unwrap()
    }

    /// Calls a ceremony for epoch 1, 3 of 4.
    fn start(&self, folder: &str) -> Ceremony {
        self.call(folder, &first_key()).unwrap()
    }

    fn call(&self, folder: &str, terms: &Terms) -> Result<Ceremony, CeremonyError> {
        Ceremony::start(&self.path(folder), &self.trust, terms, &self.ambient)
    }

    fn open(&self, folder: &str) -> Result<Ceremony, CeremonyError> {
        Ceremony::open(&self.path(folder), self.trust.root())
    }

    fn join(&self, who: &str) -> Result<Joined, CeremonyError> {
        self.join_in("ceremony", who)
    }

    /// One run of one keyholder, as the command line does it.
    fn join_in(&self, folder: &str, who: &str) -> Result<Joined, CeremonyError> {
        let ceremony = self.open(folder)?;
        ceremony.join(
            &self.directory(who),
            &self.identity(who),
            &id(who),
            Some(&ceremony.fingerprint()),
            None,
            &self.ambient,
        )
    }

    /// A run of each keyholder.
    fn round(&self) -> Vec<Joined> {
        NAMES
            .iter()
            .map(|(who, _)| self.join(who).unwrap())
            .collect()
    }

    fn trusted(&self, edit: impl FnOnce(&mut Roster)) -> TrustedRoster {
        let mut roster = self.roster.clone();
        edit(&mut roster);
        TrustedRoster::verify(self.trust.root(), signed(&roster).as_bytes()).unwrap()
    }

    fn file(&self, slot: &Slot) -> PathBuf {
        self.path("ceremony").join(slot.file())
    }

    /// Puts a message into a place that `who` signed as one of `slot`, whatever the place.
    fn forge(&self, place: &Slot, who: &str, slot: &Slot, body: &[u8]) {
        let ceremony = self.open("ceremony").unwrap().id();
        let key = self.identity(who).signing;
        let text = message::write(&ceremony, slot, body, &key).unwrap();
        write(&self.file(place), &text);
    }

    fn body(&self, slot: &Slot) -> Vec<u8> {
        let ceremony = self.open("ceremony").unwrap();
        ceremony.message(slot).unwrap().unwrap().body
    }
}

/// A key for epoch 1, 3 of 4.
fn first_key() -> Terms {
    Terms::Generate {
        epoch: Some(1),
        threshold: Some(3),
        keyholders: None,
    }
}

/// The part of a ceremony's plan in which a key is made.
fn dkg_plan(ceremony: &Ceremony) -> DkgPlan {
    match ceremony.machines.sharing.clone().unwrap() {
        SharingPlan::Generate(plan) => plan,
        SharingPlan::Refresh(_) => panic!("no key is made here"),
    }
}

fn id(text: &str) -> MemberId {
    text.parse().unwrap()
}

fn commitments(sender: &str) -> Slot {
    Slot::to_all(Round::Commitments, &id(sender))
}

fn confirmation(sender: &str) -> Slot {
    Slot::to_all(Round::Confirmation, &id(sender))
}

fn package_of(sender: &str, recipient: &str) -> Slot {
    Slot::package(&id(sender), &id(recipient))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder, with its bytes.
fn files_below(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// The files with shares of the coalition key.
fn shares_of(coalition: &Coalition, who: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files_below(&coalition.path(who).join("keys"));
    files.retain(|(path, _)| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("share-"))
    });
    files
}

fn root_signers() -> [NoteSigner; 2] {
    [1, 2].map(|number| {
        let name = KeyName::new(format!("root{number}.example")).unwrap();
        NoteSigner::new(name, SigningKey::from_seed(&[number; 32]))
    })
}

fn root() -> String {
    let signers = root_signers();
    let keys = signers.iter().map(|signer| RootKey {
        name: signer.note_key().name().to_string(),
        public_key: Bytes32::new(*signer.note_key().verifying_key().as_bytes()),
    });
    let root = Root {
        coalition: "coalition.example".to_owned(),
        version: 1,
        expires: Timestamp::from_unix(NOW + 1_000_000_000),
        threshold: 2,
        keys: keys.collect(),
    };
    sign(root.render_for_signing().unwrap())
}

fn signed(roster: &Roster) -> String {
    sign(roster.render_for_signing().unwrap())
}

fn sign(text: String) -> String {
    let [first, second] = root_signers();
    Note::sign(text, &[&first, &second]).unwrap().to_string()
}

fn member(short: &str, name: &str, identifier: u16, identity: &Identity) -> Member {
    let public = identity.public().unwrap();
    let (not_before, not_after) = (
        Timestamp::from_unix(NOW - 1_000),
        Timestamp::from_unix(NOW + 1_000_000),
    );
    Member {
        id: id(short),
        name: name.to_owned(),
        organisation: "Ministry".to_owned(),
        roles: Roles {
            member: false,
            keyholder: Some(KeyholderRole { identifier }),
            ombudsman: None,
        },
        suspended_since: None,
        addresses: vec![format!("{short}.example:7443").parse().unwrap()],
        tls_pins: vec![TlsPin {
            spki_sha256: public.tls_spki_sha256,
            not_before,
            not_after,
        }],
        signing_keys: vec![MemberKey {
            public_key: public.signing_key,
            not_before,
            not_after,
        }],
        encryption_key: Some(public.encryption_key),
        log: Some(Log {
            origin: public.log_origin,
            vkey: public.log_vkey,
        }),
        witness_vkey: None,
        purposes: Vec::new(),
        quotas: Quotas::default(),
        index_cap: 0,
    }
}

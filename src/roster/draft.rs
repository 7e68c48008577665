//! Making a new root or roster, on a machine that is never online: edit, render, sign, put the
//! signatures together.
//!
//! A draft is a [`Root`] or [`Roster`] that nobody has signed. Its fields are public and may be
//! edited freely; the methods here are the usual edits. What is wrong with it comes out, all at
//! once, when it is rendered. Signing takes the rendered text only, and reads it again first, so a
//! signer's machine refuses what a node would refuse.

use serde::Deserialize;

use super::document::{self, Document, Kind};
use super::signed;
use super::trusted::TrustedRoot;
use super::validate::Problems;
use super::{
    Bytes32, CoalitionKeys, Member, MemberId, MemberKey, Root, Roster, RosterError, Timestamp,
    TlsPin, keys,
};
use crate::envelope::note::{self, Note, NoteSignature};
use crate::envelope::{NoteError, NoteSigner};

impl Roster {
    /// Reads a draft from JSON of any layout, with or without the type line. Unknown fields,
    /// duplicate keys and values of a wrong form are refused with their place; what contradicts
    /// itself is left for [`Roster::problems`].
    ///
    /// For TOML and other formats read into a `Roster` with serde.
    pub fn from_draft(text: &str) -> Result<Self, RosterError> {
        read_draft(text)
    }

    /// The successor of this roster with nothing changed yet but the version and the dates.
    #[must_use]
    pub fn successor(&self, root_version: u32, issued: Timestamp, expires: Timestamp) -> Self {
        let version = self.version.saturating_add(1);
        Self {
            version,
            root_version,
            issued,
            expires,
            ..self.clone()
        }
    }

    /// All that is wrong with the draft.
    pub fn problems(&self) -> Problems {
        Document::problems(self).into()
    }

    /// The text that the root keys sign: one text for each content, ending in a newline.
    pub fn render_for_signing(&self) -> Result<String, RosterError> {
        render(self)
    }

    /// Adds a party.
    pub fn add(&mut self, member: Member) -> Result<(), RosterError> {
        if self.member(member.id.as_str()).is_some() {
            return Err(RosterError::MemberExists { id: member.id });
        }
        self.members.push(member);
        self.normalise();
        Ok(())
    }

    /// Takes a party out.
    pub fn remove(&mut self, id: &MemberId) -> Result<Member, RosterError> {
        let at = self.members.iter().position(|member| member.id == *id);
        at.map(|at| self.members.remove(at))
            .ok_or_else(|| RosterError::NoSuchMember { id: id.clone() })
    }

    /// Edits one party.
    pub fn edit(
        &mut self,
        id: &MemberId,
        edit: impl FnOnce(&mut Member),
    ) -> Result<(), RosterError> {
        let member = self.members.iter_mut().find(|member| member.id == *id);
        edit(member.ok_or_else(|| RosterError::NoSuchMember { id: id.clone() })?);
        self.normalise();
        Ok(())
    }

    /// Suspends a party from `since` on.
    pub fn suspend(&mut self, id: &MemberId, since: Timestamp) -> Result<(), RosterError> {
        self.edit(id, |member| member.suspended_since = Some(since))
    }

    /// Ends a suspension.
    pub fn reinstate(&mut self, id: &MemberId) -> Result<(), RosterError> {
        self.edit(id, |member| member.suspended_since = None)
    }

    /// Gives a party a further TLS certificate key, valid beside those it has.
    pub fn add_tls_pin(&mut self, id: &MemberId, pin: TlsPin) -> Result<(), RosterError> {
        self.edit(id, |member| member.tls_pins.push(pin))
    }

    /// Gives a party a further signing key, valid beside those it has.
    pub fn add_signing_key(&mut self, id: &MemberId, key: MemberKey) -> Result<(), RosterError> {
        self.edit(id, |member| member.signing_keys.push(key))
    }

    /// Revokes a TLS certificate key or a signing key of a party at once: it is gone from the
    /// roster. To let one run out instead, edit its `not_after`.
    pub fn revoke(&mut self, id: &MemberId, key: &Bytes32) -> Result<(), RosterError> {
        self.edit(id, |member| {
            member.tls_pins.retain(|pin| pin.spki_sha256 != *key);
            member.signing_keys.retain(|entry| entry.public_key != *key);
        })
    }

    /// States the coalition key's epochs, as a finished ceremony gives them.
    pub fn set_coalition_key(&mut self, keys: CoalitionKeys) {
        self.coalition_key = keys;
        self.normalise();
    }
}

impl Root {
    /// Reads a draft from JSON of any layout; see [`Roster::from_draft`].
    pub fn from_draft(text: &str) -> Result<Self, RosterError> {
        read_draft(text)
    }

    /// The successor of this root with nothing changed yet but the version and the expiry.
    #[must_use]
    pub fn successor(&self, expires: Timestamp) -> Self {
        Self {
            version: self.version.saturating_add(1),
            expires,
            ..self.clone()
        }
    }

    /// All that is wrong with the draft.
    pub fn problems(&self) -> Problems {
        Document::problems(self).into()
    }

    /// The text that the old and the new root keys sign.
    pub fn render_for_signing(&self) -> Result<String, RosterError> {
        render(self)
    }
}

/// Adds a signature to a rendered text or to a note that others have already signed, and returns
/// the note. Refuses a text that a node would refuse, and a second signature by the same key.
pub fn add_signature(file: &[u8], signer: &NoteSigner) -> Result<String, RosterError> {
    let (kind, text, mut lines) = open(file)?;
    let key = signer.note_key();
    if lines.iter().any(|line| keys::is_of(line, &key)) {
        return Err(RosterError::AlreadySigned {
            kind,
            key: key.name().to_string(),
        });
    }
    let refused = |error: NoteError| RosterError::not_a_note(kind, &error);
    lines.push(signer.sign(&text).map_err(refused)?);
    Ok(Note::from_parts(text, lines).map_err(refused)?.to_string())
}

/// Puts the signatures of several copies of one text together: signers who never meet each sign a
/// copy of their own.
pub fn merge_signatures(files: &[&[u8]]) -> Result<String, RosterError> {
    let mut merged: Option<(Kind, Note)> = None;
    for file in files {
        let (kind, text, lines) = open(file)?;
        let refused = |error: NoteError| RosterError::not_a_note(kind, &error);
        let Some((_, note)) = &mut merged else {
            merged = Some((kind, Note::from_parts(text, lines).map_err(refused)?));
            continue;
        };
        if note.unverified_text() != text {
            let (first, other) = (signed::digest(note), Bytes32::sha256(text.as_bytes()));
            return Err(RosterError::DifferentTexts { first, other });
        }
        for line in lines {
            note.add(line).map_err(refused)?;
        }
    }
    let nothing = RosterError::NotANote {
        kind: Kind::Roster,
        reason: "no file given".to_owned(),
    };
    merged.map(|(_, note)| note.to_string()).ok_or(nothing)
}

/// Who of a root's keys has signed a file, and who is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureReport {
    /// How many have to sign.
    pub threshold: usize,
    /// Names of the root's keys whose signatures verify.
    pub signed: Vec<String>,
    /// Names of the root's keys that have not signed, or not validly.
    pub missing: Vec<String>,
    /// Names on signature lines that are no keys of this root.
    pub unknown: Vec<String>,
}

impl SignatureReport {
    /// Whether the threshold is met.
    pub fn is_enough(&self) -> bool {
        self.signed.len() >= self.threshold
    }

    /// Looks at the signatures of a root or roster, complete or not. For a draft of a new root, ask
    /// twice: under the trusted root, and under itself by [`SignatureReport::of_new_root`].
    pub fn of(file: &[u8], root: &TrustedRoot) -> Result<Self, RosterError> {
        let (kind, text, lines) = open(file)?;
        Self::under(kind, text, lines, root.root())
    }

    /// Looks at a new root's signatures by its own keys.
    pub fn of_new_root(file: &[u8]) -> Result<Self, RosterError> {
        let (kind, text, lines) = open(file)?;
        let root: Root = document::parse(&text)?;
        Self::under(kind, text, lines, &root)
    }

    fn under(
        kind: Kind,
        text: String,
        lines: Vec<NoteSignature>,
        root: &Root,
    ) -> Result<Self, RosterError> {
        let refused = |error: NoteError| RosterError::not_a_note(kind, &error);
        let known = keys::note_keys(root).map_err(refused)?;
        let is_known = |line: &&NoteSignature| known.iter().any(|key| keys::is_of(line, key));
        let unknown = lines.iter().filter(|line| !is_known(line));
        let unknown = unknown
            .map(|line| document::printable(line.name().as_str(), 60))
            .collect();
        let has_signed = |key: &note::NoteKey| {
            let one = lines.iter().find(|line| keys::is_of(line, key)).cloned();
            let note = one.and_then(|line| Note::from_parts(text.clone(), vec![line]).ok());
            let alone = std::slice::from_ref(key);
            note.is_some_and(|note| note::verify_threshold(&note, alone, 1).is_ok())
        };
        let (signed, missing): (Vec<_>, Vec<_>) = known.iter().partition(|key| has_signed(key));
        let names = |keys: Vec<&note::NoteKey>| {
            keys.into_iter().map(|key| key.name().to_string()).collect()
        };
        let (signed, missing) = (names(signed), names(missing));
        Ok(Self {
            threshold: usize::from(root.threshold),
            signed,
            missing,
            unknown,
        })
    }
}

/// Opens a text or note of either kind, after the checks that a node makes on a text.
fn open(file: &[u8]) -> Result<(Kind, String, Vec<NoteSignature>), RosterError> {
    // Until the first line is read the kind is a guess, used in the wording of refusals alone.
    let guess = if file.starts_with(Kind::Root.header().as_bytes()) {
        Kind::Root
    } else {
        Kind::Roster
    };
    let (size, limit) = (file.len(), guess.max_bytes());
    if size > limit {
        return Err(RosterError::TooLarge {
            kind: guess,
            size,
            limit,
        });
    }
    let refused = |reason: String| RosterError::NotANote {
        kind: guess,
        reason,
    };
    let whole = std::str::from_utf8(file).map_err(|error| refused(error.to_string()))?;
    let (text, lines) = if whole.contains("\n\n") {
        let note = Note::parse(file).map_err(|error| refused(error.to_string()))?;
        (
            note.unverified_text().to_owned(),
            note.signatures().to_vec(),
        )
    } else {
        (whole.to_owned(), Vec::new())
    };
    match guess {
        Kind::Root => document::parse::<Root>(&text).map(|_| ())?,
        _ => document::parse::<Roster>(&text).map(|_| ())?,
    }
    Ok((guess, text, lines))
}

fn read_draft<T: Document + for<'de> Deserialize<'de>>(text: &str) -> Result<T, RosterError> {
    let (size, limit) = (text.len(), T::KIND.max_bytes());
    if size > limit {
        return Err(RosterError::TooLarge {
            kind: T::KIND,
            size,
            limit,
        });
    }
    let has_header = text.starts_with("wayhome/");
    let json = if has_header {
        document::strip_header(T::KIND, text)?
    } else {
        text
    };
    let mut draft: T = document::parse_json(T::KIND, json, usize::from(has_header))?;
    draft.normalise();
    Ok(draft)
}

fn render<T: Document>(draft: &T) -> Result<String, RosterError> {
    document::check(draft)?;
    document::render(draft)
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;

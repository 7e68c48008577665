//! What a document must satisfy beyond its syntax, with messages that name the party and field.
//!
//! Every problem is reported, not only the first: a roster is drafted by people, who mend a list
//! faster than they discover one mistake after another.

use std::collections::BTreeMap;
use std::fmt;

use super::keys;
use super::{Bytes32, CoalitionKey, Member, OmbudsmanScope, Purpose, Root, Roster, Timestamp};

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it concerns: `member pl`, `root key anna`, `coalition key of epoch 2`, or the document.
    pub subject: String,
    /// The field, as a path below the subject.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.field, self.message)
    }
}

/// All that is wrong with a document, one a line when there is more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, in the order in which a reader of the document meets them.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => only.fmt(f),
            many => many
                .iter()
                .try_for_each(|problem| write!(f, "\n  {problem}")),
        }
    }
}

/// Most root keys: signed notes must accept 16 signatures, and a root needs those of two roots.
const MOST_ROOT_KEYS: usize = 16;

const KEY_NAME_RULE: &str = "write 1 to 100 printable ASCII characters, without spaces and `+`";

/// Most characters in a name that people read.
const LONGEST_NAME: usize = 200;

/// Everything wrong with a root.
pub(super) fn root(root: &Root) -> Vec<Problem> {
    let mut found = Found::default();
    let mut top = found.about("root");
    top.text("coalition", &root.coalition);
    top.positive("version", root.version.into());
    top.threshold(root.threshold, root.keys.len(), "keys");
    if root.keys.len() > MOST_ROOT_KEYS {
        top.say(
            "keys",
            format!("{} keys, at most {MOST_ROOT_KEYS}", root.keys.len()),
        );
    }

    let mut unique = Unique::default();
    for key in &root.keys {
        let mut about = found.about(format!("root key {}", key.name));
        if !keys::is_plain_key_name(&key.name) {
            about.say("name", KEY_NAME_RULE);
        }
        unique.name(&mut about, "name", "root key name", &key.name);
        unique.key(&mut about, "public_key", &key.public_key);
        about.ed25519("public_key", &key.public_key);
    }
    found.problems
}

/// Everything wrong with a roster.
pub(super) fn roster(roster: &Roster) -> Vec<Problem> {
    let mut found = Found::default();
    let mut top = found.about("roster");
    top.text("coalition", &roster.coalition);
    top.positive("version", roster.version.into());
    top.positive("root_version", roster.root_version.into());
    if roster.expires <= roster.issued {
        top.say(
            "expires",
            format!("must come after issued ({})", roster.issued),
        );
    }
    if roster.members.is_empty() {
        top.say("members", "a roster has at least one party");
    }

    let mut unique = Unique::default();
    for member in &roster.members {
        let mut about = found.about(format!("member {}", member.id));
        unique.name(&mut about, "id", "id", member.id.as_str());
        each_party(&mut about, &mut unique, member);
        if member.is_node() {
            node(&mut about, &mut unique, member);
        }
        match &member.roles.ombudsman {
            Some(scope) => ombudsman(&mut about, roster, member, scope),
            None if member.is_node() => {}
            None => about.say(
                "roles",
                "give at least one of member, keyholder and ombudsman",
            ),
        }
    }
    coalition_keys(&mut found, &mut unique, roster);
    found.problems
}

fn each_party(about: &mut About<'_>, unique: &mut Unique, member: &Member) {
    about.text("name", &member.name);
    about.text("organisation", &member.organisation);
    if member.tls_pins.is_empty() {
        about.say("tls_pins", "give at least one");
    }
    for (index, pin) in member.tls_pins.iter().enumerate() {
        about.validity(&format!("tls_pins[{index}]"), pin.not_before, pin.not_after);
        unique.key(
            about,
            &format!("tls_pins[{index}].spki_sha256"),
            &pin.spki_sha256,
        );
    }
    if member.signing_keys.is_empty() {
        about.say("signing_keys", "give at least one");
    }
    for (index, key) in member.signing_keys.iter().enumerate() {
        about.validity(
            &format!("signing_keys[{index}]"),
            key.not_before,
            key.not_after,
        );
        let field = format!("signing_keys[{index}].public_key");
        about.ed25519(&field, &key.public_key);
        unique.key(about, &field, &key.public_key);
    }
    if let Some(vkey) = &member.witness_vkey {
        match keys::parse_witness_vkey(vkey) {
            Ok(_) => unique.name(about, "witness_vkey", "verifier key", vkey),
            Err(reason) => about.say("witness_vkey", reason),
        }
    }
    for pair in member.purposes.windows(2) {
        if pair[0] == pair[1] {
            about.say("purposes", format!("{} is listed twice", pair[0]));
        }
    }
    if !member.roles.member
        && member
            .purposes
            .iter()
            .any(|purpose| *purpose != Purpose::Audit)
    {
        about.say(
            "purposes",
            "only a member may be given purposes other than audit",
        );
    }
}

fn node(about: &mut About<'_>, unique: &mut Unique, member: &Member) {
    if member.addresses.is_empty() {
        about.say("addresses", "a node needs at least one host:port");
    }
    for (index, address) in member.addresses.iter().enumerate() {
        unique.name(
            about,
            &format!("addresses[{index}]"),
            "address",
            address.as_str(),
        );
    }
    match &member.encryption_key {
        None => about.say(
            "encryption_key",
            "a node needs one, ceremony packages are sealed to it",
        ),
        Some(key) => {
            unique.key(about, "encryption_key", key);
            about.not_zero("encryption_key", key);
        }
    }
    match &member.log {
        None => about.say("log", "a node needs one"),
        Some(log) => {
            if !keys::is_plain_key_name(&log.origin) {
                about.say("log.origin", KEY_NAME_RULE);
            }
            unique.name(about, "log.origin", "log origin", &log.origin);
            match keys::parse_log_vkey(&log.vkey) {
                Err(reason) => about.say("log.vkey", reason),
                Ok(name) if name != log.origin => {
                    about.say(
                        "log.vkey",
                        format!("is of {name:?}, must be of the log's origin"),
                    );
                }
                Ok(_) => unique.name(about, "log.vkey", "verifier key", &log.vkey),
            }
        }
    }
    if member.roles.member && member.index_cap == 0 {
        about.say(
            "index_cap",
            "a member's index needs room for at least one record",
        );
    }
    if let Some(keyholder) = &member.roles.keyholder {
        let field = "roles.keyholder.identifier";
        if keyholder.identifier == 0 {
            about.say(
                field,
                "must not be zero: at zero lies the coalition key itself",
            );
        }
        unique.name(
            about,
            field,
            "keyholder identifier",
            &keyholder.identifier.to_string(),
        );
    }
}

fn ombudsman(about: &mut About<'_>, roster: &Roster, member: &Member, scope: &OmbudsmanScope) {
    if member.is_node() {
        about.say(
            "roles",
            "an ombudsman must not be a member or a keyholder, which it oversees",
        );
        return;
    }
    let absent: [(&str, bool); 5] = [
        (
            "addresses",
            member.addresses.is_empty() || member.witness_vkey.is_some(),
        ),
        ("encryption_key", member.encryption_key.is_none()),
        ("log", member.log.is_none()),
        ("quotas", member.quotas == super::Quotas::default()),
        ("index_cap", member.index_cap == 0),
    ];
    for (field, good) in absent {
        if !good {
            about.say(field, "an ombudsman has none, leave it empty or zero");
        }
    }
    if let OmbudsmanScope::Member(id) = scope
        && !roster
            .member(id.as_str())
            .is_some_and(|overseen| overseen.roles.member)
    {
        about.say(
            "roles.ombudsman",
            format!("{id} is no member in this roster"),
        );
    }
}

fn coalition_keys(found: &mut Found, unique: &mut Unique, roster: &Roster) {
    let keys = &roster.coalition_key;
    let mut top = found.about("roster");
    if keys.current.is_none() && !keys.is_empty() {
        top.say("coalition_key.current", "is missing beside another epoch");
    }
    let epochs: Vec<u64> = keys.iter().map(|key| key.epoch).collect();
    for pair in epochs.windows(2) {
        if pair[0].checked_add(1) != Some(pair[1]) {
            let message = format!("epoch {} does not follow on epoch {}", pair[1], pair[0]);
            top.say("coalition_key", message);
        }
    }
    let leaving = keys.previous.as_ref().map(|key| key.epoch);
    for key in keys.iter() {
        let mut about = found.about(format!("coalition key of epoch {}", key.epoch));
        coalition_key(&mut about, unique, roster, key, leaving == Some(key.epoch));
    }
}

fn coalition_key(
    about: &mut About<'_>,
    unique: &mut Unique,
    roster: &Roster,
    key: &CoalitionKey,
    leaving: bool,
) {
    about.positive("epoch", key.epoch);
    about.threshold(key.threshold, key.keyholders.len(), "keyholders");
    about.not_zero("public_key", &key.public_key);
    unique.key(about, "public_key", &key.public_key);

    let mut within = Unique::default();
    for (index, holder) in key.keyholders.iter().enumerate() {
        let field = |name: &str| format!("keyholders[{index}].{name}");
        if holder.identifier == 0 {
            about.say(&field("identifier"), "must not be zero");
        }
        let identifier = holder.identifier.to_string();
        within.name(
            about,
            &field("identifier"),
            "keyholder identifier",
            &identifier,
        );
        within.name(about, &field("member"), "keyholder", holder.member.as_str());
        unique.key(about, &field("verifying_share"), &holder.verifying_share);
        about.not_zero(&field("verifying_share"), &holder.verifying_share);

        let id = &holder.member;
        match roster
            .member(id.as_str())
            .map(|member| member.roles.keyholder)
        {
            None => about.say(&field("member"), format!("{id} is not in this roster")),
            Some(Some(role)) if role.identifier != holder.identifier => {
                let message = format!("{id} has the identifier {} in its roles", role.identifier);
                about.say(&field("identifier"), message);
            }
            Some(Some(_)) => {}
            // Who leaves is still listed under the epoch that is being left.
            Some(None) if leaving => {}
            Some(None) => about.say(
                &field("member"),
                format!("{id} lacks the role of keyholder"),
            ),
        }
    }
}

/// Whether a character may stand in a text that people read before they sign it.
///
/// Left out are control characters and those that are invisible or reorder what is shown: with
/// them a roster could read as one thing and mean another.
pub(super) fn is_readable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
}

impl Found {
    fn about(&mut self, subject: impl Into<String>) -> About<'_> {
        About {
            found: self,
            subject: super::document::printable(&subject.into(), 60),
        }
    }
}

/// Collects problems that concern one subject.
struct About<'a> {
    found: &'a mut Found,
    subject: String,
}

impl About<'_> {
    fn say(&mut self, field: &str, message: impl Into<String>) {
        let (subject, field) = (self.subject.clone(), field.to_owned());
        self.found.problems.push(Problem {
            subject,
            field,
            message: message.into(),
        });
    }

    fn text(&mut self, field: &str, text: &str) {
        if text.is_empty() || text.chars().count() > LONGEST_NAME {
            self.say(field, format!("write 1 to {LONGEST_NAME} characters"));
        }
        if text.trim() != text || !text.chars().all(is_readable) {
            self.say(
                field,
                "has invisible characters, or spaces at an end; remove them",
            );
        }
    }

    fn positive(&mut self, field: &str, number: u64) {
        if number == 0 {
            self.say(field, "counts from 1");
        }
    }

    fn threshold(&mut self, threshold: u16, of: usize, what: &str) {
        if threshold < 2 {
            self.say(
                "threshold",
                format!("is {threshold}, must be at least 2: nobody acts alone"),
            );
        }
        if usize::from(threshold) > of {
            self.say(
                "threshold",
                format!("is {threshold}, but there are only {of} {what}"),
            );
        }
    }

    fn validity(&mut self, field: &str, not_before: Timestamp, not_after: Timestamp) {
        if not_before >= not_after {
            self.say(
                field,
                format!("not_before ({not_before}) must come before not_after"),
            );
        }
    }

    fn not_zero(&mut self, field: &str, key: &Bytes32) {
        if key.as_bytes() == &[0; 32] {
            self.say(field, "is all zero, which is no key");
        }
    }

    fn ed25519(&mut self, field: &str, key: &Bytes32) {
        if let Err(reason) = keys::check_ed25519(key) {
            self.say(field, reason);
        }
    }
}

/// Remembers who used which value first.
#[derive(Default)]
struct Unique {
    first: BTreeMap<(&'static str, String), String>,
}

impl Unique {
    /// A name must not be used twice within its own kind.
    fn name(&mut self, about: &mut About<'_>, field: &str, what: &'static str, value: &str) {
        let place = format!("{}: {field}", about.subject);
        if let Some(first) = self.first.get(&(what, value.to_owned())) {
            about.say(field, format!("the same {what} as {first}"));
        } else {
            self.first.insert((what, value.to_owned()), place);
        }
    }

    /// Thirty-two bytes that name a key, pin or share serve one purpose of one party only.
    fn key(&mut self, about: &mut About<'_>, field: &str, value: &Bytes32) {
        self.name(about, field, "value", &value.to_string());
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

//! What changes from one roster or root to the next, in sentences that a person can agree to.
//!
//! Signers decide on the strength of these sentences, so none may be missing: a test changes every
//! single value of a roster in turn and demands a sentence for it.

use std::fmt;

use super::{
    CoalitionKey, CoalitionKeys, Member, MemberId, OmbudsmanScope, Purpose, Root, Roster, Timestamp,
};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The party it concerns, if it concerns one.
    pub member: Option<MemberId>,
    /// The change in a plain sentence, with its full stop.
    pub sentence: String,
    /// Whether it is of a kind that ought never to happen; the sentence says why.
    pub alarming: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// All that changes from `old` to `new`, apart from the version that every successor has. Empty
/// means that they say the same.
pub fn diff_rosters(old: &Roster, new: &Roster) -> Vec<Change> {
    let mut list = List::new(new.issued);
    // Two parties may share a name, a state and its ombudsman for one; then the id is said too.
    let names = |member: &Member| {
        let same = |other: &&Member| other.name == member.name && other.id != member.id;
        let shared = old
            .members
            .iter()
            .chain(&new.members)
            .any(|other| same(&other));
        if shared {
            member.title()
        } else {
            member.name.clone()
        }
    };
    list.coalition(&old.coalition, &new.coalition);
    if new.version <= old.version && old != new {
        list.alarm(format!(
            "The version does not grow: it is {} and was {}.",
            new.version, old.version
        ));
    }
    if old.root_version != new.root_version {
        list.say(format!(
            "It is made under root {} instead of root {}.",
            new.root_version, old.root_version
        ));
    }
    if new.issued < old.issued {
        list.alarm(format!(
            "It is dated {}, before the roster it replaces ({}).",
            new.issued.spoken(),
            old.issued.spoken()
        ));
    } else if new.issued != old.issued {
        list.say(format!("It was made on {}.", new.issued.spoken()));
    }
    list.expiry(old.expires, new.expires);

    for member in &old.members {
        match new.member(member.id.as_str()) {
            None => list
                .about(member)
                .say(format!("{} leaves the coalition.", member.title())),
            Some(now) => changes_of_member(list.about(now), &names(now), member, now),
        }
    }
    for member in &new.members {
        if old.member(member.id.as_str()).is_none() {
            joins(list.about(member), &names(member), member);
        }
    }
    list.member = None;
    coalition_keys(&mut list, &old.coalition_key, &new.coalition_key);
    list.changes
}

/// All that changes from the root `old` to the root `new`, apart from the version.
pub fn diff_roots(old: &Root, new: &Root) -> Vec<Change> {
    let mut list = List::new(Timestamp::MAX);
    list.coalition(&old.coalition, &new.coalition);
    if Some(new.version) != old.version.checked_add(1) && old != new {
        list.alarm(format!(
            "Root {} does not follow on root {}: versions grow by one.",
            new.version, old.version
        ));
    }
    list.expiry(old.expires, new.expires);
    if old.threshold != new.threshold {
        let (was, is) = (old.threshold, new.threshold);
        list.say(format!(
            "{is} root keys have to sign from now on instead of {was}."
        ));
    }
    let has = |root: &Root, key: &super::RootKey| root.keys.contains(key);
    for key in old.keys.iter().filter(|key| !has(new, key)) {
        let (name, short) = (&key.name, key.public_key.short());
        list.say(format!("{name} (key {short}) is no longer a root key."));
    }
    for key in new.keys.iter().filter(|key| !has(old, key)) {
        list.say(format!(
            "{} (key {}) becomes a root key.",
            key.name, key.public_key
        ));
    }
    list.changes
}

struct List {
    changes: Vec<Change>,
    member: Option<MemberId>,
    new_issued: Timestamp,
}

impl List {
    fn new(new_issued: Timestamp) -> Self {
        Self {
            changes: Vec::new(),
            member: None,
            new_issued,
        }
    }

    fn about(&mut self, member: &Member) -> &mut Self {
        self.member = Some(member.id.clone());
        self
    }

    fn say(&mut self, sentence: String) {
        self.changes.push(Change {
            member: self.member.clone(),
            sentence,
            alarming: false,
        });
    }

    fn alarm(&mut self, sentence: String) {
        self.changes.push(Change {
            member: self.member.clone(),
            sentence,
            alarming: true,
        });
    }

    fn coalition(&mut self, old: &str, new: &str) {
        if old != new {
            self.alarm(format!(
                "It is of another coalition, {new:?} instead of {old:?}: no node will take it."
            ));
        }
    }

    fn expiry(&mut self, old: Timestamp, new: Timestamp) {
        if new < old {
            let (was, is) = (old.spoken(), new.spoken());
            self.say(format!("It expires on {is}, earlier than before ({was})."));
        } else if new != old {
            self.say(format!(
                "It expires on {} instead of {}.",
                new.spoken(),
                old.spoken()
            ));
        }
    }

    /// `from` says "at once", or names the day if that lies after the roster's making.
    fn from(&self, time: Timestamp) -> String {
        if time <= self.new_issued {
            "at once".into()
        } else {
            format!("from {}", time.spoken())
        }
    }
}

fn joins(list: &mut List, name: &str, member: &Member) {
    let mut sentence = format!(
        "{}, {}, joins as {}",
        member.title(),
        member.organisation,
        role_names(member).join(" and ")
    );
    if !member.addresses.is_empty() {
        sentence.push_str(&format!(", with its node at {}", all(&member.addresses)));
    }
    if member.purposes.is_empty() {
        sentence.push_str("; it may ask for nothing");
    } else {
        sentence.push_str(&format!("; it may ask for {}", all(&member.purposes)));
    }
    let quotas = member.quotas;
    if member.roles.member {
        sentence.push_str(&format!(
            "; its limits are {} evaluations and {} subjects a day, {} records enrolled and {} \
             indexed",
            quotas.evaluations_per_day,
            quotas.subjects_per_day,
            quotas.enrolment_records,
            member.index_cap
        ));
    }
    list.say(sentence + ".");
    let keys = member
        .signing_keys
        .iter()
        .map(|key| ("signing", key.public_key, key.not_before));
    let pins = member
        .tls_pins
        .iter()
        .map(|pin| ("TLS", pin.spki_sha256, pin.not_before));
    for (what, key, from) in keys.chain(pins) {
        let from = list.from(from);
        list.say(format!("{name}'s {what} key {key} is accepted {from}."));
    }
    if let Some(key) = member.encryption_key {
        list.say(format!(
            "Ceremony packages for {name} are sealed to the key {key}."
        ));
    }
    if let Some(log) = &member.log {
        list.say(format!("{name}'s log is signed with the key {}.", log.vkey));
    }
    if let Some(vkey) = &member.witness_vkey {
        list.say(format!(
            "{name} cosigns the logs of others with the key {vkey}."
        ));
    }
    if let Some(since) = member.suspended_since {
        suspension(list, name, since);
    }
}

fn changes_of_member(list: &mut List, name: &str, old: &Member, new: &Member) {
    if old.name != new.name {
        list.say(format!(
            "{} is called {} from now on.",
            old.title(),
            new.name
        ));
    }
    if old.organisation != new.organisation {
        let (was, is) = (&old.organisation, &new.organisation);
        list.say(format!("{name} is represented by {is} instead of {was}."));
    }
    match (old.suspended_since, new.suspended_since) {
        (was, Some(since)) if was != Some(since) => suspension(list, name, since),
        (Some(_), None) => list.say(format!("{name} is no longer suspended.")),
        _ => {}
    }
    roles(list, name, &old.roles, &new.roles);
    if old.addresses != new.addresses {
        let (was, is) = (all(&old.addresses), all(&new.addresses));
        list.say(format!(
            "{name}'s node is reached at {is} instead of {was}."
        ));
    }

    let pins = |member: &Member| {
        let pins = member.tls_pins.iter();
        pins.map(|pin| (pin.spki_sha256, pin.not_before, pin.not_after))
            .collect::<Vec<_>>()
    };
    dated_keys(list, name, "TLS key", &pins(old), &pins(new));
    let keys = |member: &Member| {
        let keys = member.signing_keys.iter();
        keys.map(|key| (key.public_key, key.not_before, key.not_after))
            .collect::<Vec<_>>()
    };
    dated_keys(list, name, "signing key", &keys(old), &keys(new));

    let replaced =
        |list: &mut List, what: &str, old: Option<String>, new: Option<String>| match (old, new) {
            (Some(old), Some(new)) if old != new => {
                list.say(format!("{name}'s {what} becomes {new} instead of {old}."));
            }
            (None, Some(new)) => list.say(format!("{name} gets a {what}, {new}.")),
            (Some(old), None) => list.say(format!("{name} loses its {what}, {old}.")),
            _ => {}
        };
    let sealing = |member: &Member| member.encryption_key.map(|key| key.to_string());
    replaced(list, "encryption key", sealing(old), sealing(new));
    let origin = |member: &Member| member.log.as_ref().map(|log| log.origin.clone());
    replaced(list, "log", origin(old), origin(new));
    let vkey = |member: &Member| member.log.as_ref().map(|log| log.vkey.clone());
    replaced(list, "log key", vkey(old), vkey(new));
    replaced(
        list,
        "witness key",
        old.witness_vkey.clone(),
        new.witness_vkey.clone(),
    );

    let without = |of: &Member, other: &Member| {
        let purposes = of
            .purposes
            .iter()
            .filter(|purpose| !other.purposes.contains(purpose));
        purposes.copied().collect::<Vec<Purpose>>()
    };
    let (gained, lost) = (without(new, old), without(old, new));
    if !gained.is_empty() {
        list.say(format!("{name} may now also ask for {}.", all(&gained)));
    }
    if !lost.is_empty() {
        list.say(format!("{name} may no longer ask for {}.", all(&lost)));
    }
    let (was, is) = (old.quotas, new.quotas);
    limit(
        list,
        name,
        "evaluations a day",
        was.evaluations_per_day,
        is.evaluations_per_day,
    );
    limit(
        list,
        name,
        "subjects a day",
        was.subjects_per_day,
        is.subjects_per_day,
    );
    limit(
        list,
        name,
        "records enrolled",
        was.enrolment_records,
        is.enrolment_records,
    );
    limit(list, name, "records indexed", old.index_cap, new.index_cap);
}

fn suspension(list: &mut List, name: &str, since: Timestamp) {
    if since <= list.new_issued {
        list.say(format!("{name} is suspended (since {}).", since.spoken()));
    } else {
        list.say(format!("{name} will be suspended on {}.", since.spoken()));
    }
}

fn roles(list: &mut List, name: &str, was: &super::Roles, is: &super::Roles) {
    match (was.member, is.member) {
        (false, true) => list.say(format!("{name} becomes a member.")),
        (true, false) => list.say(format!("{name} ceases to be a member.")),
        _ => {}
    }
    let identifier = |roles: &super::Roles| roles.keyholder.map(|keyholder| keyholder.identifier);
    match (identifier(was), identifier(is)) {
        (None, Some(is)) => list.say(format!("{name} becomes a keyholder with identifier {is}.")),
        (Some(_), None) => list.say(format!("{name} ceases to be a keyholder.")),
        (Some(was), Some(is)) if was != is => list.alarm(format!(
            "{name}'s keyholder identifier becomes {is} instead of {was}, though it is meant for \
             life."
        )),
        _ => {}
    }
    match (&was.ombudsman, &is.ombudsman) {
        (was, Some(is)) if was.as_ref() != Some(is) => {
            list.say(format!("{name} becomes an ombudsman {}.", scope(is)));
        }
        (Some(_), None) => list.say(format!("{name} ceases to be an ombudsman.")),
        _ => {}
    }
}

type DatedKey = (super::Bytes32, Timestamp, Timestamp);

fn dated_keys(list: &mut List, name: &str, what: &str, old: &[DatedKey], new: &[DatedKey]) {
    for (key, from, until) in new {
        // A signer checks a new key digit by digit, so it is written out.
        let short = key.short();
        match old.iter().find(|(known, ..)| known == key) {
            None if *from > list.new_issued => {
                let day = from.spoken();
                list.say(format!(
                    "{name}'s {what} changes on {day} (new key {key}, until {}).",
                    until.spoken()
                ));
            }
            None => list.say(format!(
                "{name}'s new {what} {key} is accepted at once, until {}.",
                until.spoken()
            )),
            Some((_, was_from, was_until)) => {
                if from != was_from {
                    let (is, was) = (from.spoken(), was_from.spoken());
                    list.say(format!(
                        "{name}'s {what} {short} is accepted from {is} instead of {was}."
                    ));
                }
                if until != was_until {
                    let (is, was) = (until.spoken(), was_until.spoken());
                    list.say(format!(
                        "{name}'s {what} {short} is accepted until {is} instead of {was}."
                    ));
                }
            }
        }
    }
    for (key, ..) in old
        .iter()
        .filter(|(key, ..)| !new.iter().any(|(kept, ..)| kept == key))
    {
        list.say(format!("{name}'s {what} {} is revoked.", key.short()));
    }
}

fn limit(list: &mut List, name: &str, what: &str, old: u64, new: u64) {
    match old.cmp(&new) {
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Less => {
            list.say(format!(
                "{name}'s limit of {what} rises from {old} to {new}."
            ));
        }
        std::cmp::Ordering::Greater => {
            list.say(format!(
                "{name}'s limit of {what} falls from {old} to {new}."
            ));
        }
    }
}

fn coalition_keys(list: &mut List, old: &CoalitionKeys, new: &CoalitionKeys) {
    for key in old.iter() {
        match new.of_epoch(key.epoch) {
            None => list.say(format!(
                "Epoch {} of the coalition key is dropped.",
                key.epoch
            )),
            Some(now) => within_epoch(list, key, now),
        }
    }
    for key in new.iter().filter(|key| old.of_epoch(key.epoch).is_none()) {
        let holders: Vec<_> = key.keyholders.iter().map(|holder| &holder.member).collect();
        list.say(format!(
            "Epoch {} of the coalition key is added, {} of {} keyholders ({}).",
            key.epoch,
            key.threshold,
            holders.len(),
            all(&holders)
        ));
    }
    let place = |keys: &CoalitionKeys, epoch: u64| {
        let is = |key: &Option<CoalitionKey>| key.as_ref().is_some_and(|key| key.epoch == epoch);
        let places = [
            (&keys.current, "in use"),
            (&keys.next, "announced"),
            (&keys.previous, "being left"),
        ];
        places
            .into_iter()
            .find(|(key, _)| is(key))
            .map(|(_, place)| place)
    };
    for key in new.iter() {
        if let Some(now) = place(new, key.epoch)
            && place(old, key.epoch) != Some(now)
        {
            list.say(format!(
                "Epoch {} of the coalition key is {now} from now on.",
                key.epoch
            ));
        }
    }
}

fn within_epoch(list: &mut List, old: &CoalitionKey, new: &CoalitionKey) {
    let epoch = new.epoch;
    if old.public_key != new.public_key {
        list.alarm(format!(
            "The coalition key changes within epoch {epoch}: every token of the coalition would \
             become useless. A new key needs a new epoch."
        ));
    }
    if old.threshold != new.threshold {
        let (was, is) = (old.threshold, new.threshold);
        list.say(format!(
            "In epoch {epoch} {is} keyholders have to answer instead of {was}."
        ));
    }
    for holder in &old.keyholders {
        if new.keyholder(holder.member.as_str()).is_none() {
            list.say(format!(
                "{} no longer holds a share of epoch {epoch}.",
                holder.member
            ));
        }
    }
    let mut renewed = Vec::new();
    for holder in &new.keyholders {
        match old.keyholder(holder.member.as_str()) {
            None => list.say(format!(
                "{} holds a share of epoch {epoch}, with identifier {}.",
                holder.member, holder.identifier
            )),
            Some(was) if was.identifier != holder.identifier => list.say(format!(
                "{} holds a share of epoch {epoch} with identifier {} instead of {}.",
                holder.member, holder.identifier, was.identifier
            )),
            Some(was) if was.verifying_share != holder.verifying_share => {
                renewed.push(&holder.member);
            }
            Some(_) => {}
        }
    }
    if !renewed.is_empty() {
        list.say(format!(
            "The shares of {} in epoch {epoch} are new.",
            all(&renewed)
        ));
    }
    if old.transcript_sha256 != new.transcript_sha256 {
        list.say(format!(
            "Epoch {epoch} rests on the ceremony transcript {}.",
            new.transcript_sha256
        ));
    }
}

pub(super) fn role_names(member: &Member) -> Vec<String> {
    let roles = &member.roles;
    let mut names = Vec::new();
    if roles.member {
        names.push("a member".to_owned());
    }
    if let Some(keyholder) = roles.keyholder {
        names.push(format!("keyholder {}", keyholder.identifier));
    }
    if let Some(of) = &roles.ombudsman {
        names.push(format!("an ombudsman {}", scope(of)));
    }
    names
}

fn scope(scope: &OmbudsmanScope) -> String {
    match scope {
        OmbudsmanScope::Coalition => "for the whole coalition".to_owned(),
        OmbudsmanScope::Member(id) => format!("for {id}"),
    }
}

/// `a, b and c`; `nothing` for none.
pub(super) fn all<T: fmt::Display>(items: &[T]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;

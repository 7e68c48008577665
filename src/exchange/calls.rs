//! The protocol's calls by their names, as metrics and traces tell them.

/// Every call between parties. A peer can send any path: what is not here is `other`, so that nobody
/// makes up names.
const CALLS: [&str; 17] = [
    "AuditService/GetCheckpoint",
    "AuditService/ProveConsistency",
    "AuditService/ProveInclusion",
    "AuditService/ReadEntries",
    "AuditService/ReadEvidence",
    "AuditService/ResolveSubject",
    "CeremonyService/GetCeremonyFiles",
    "DisclosureService/Notify",
    "DisclosureService/RequestDisclosure",
    "DisclosureService/WatchRequests",
    "Health/Check",
    "Health/Watch",
    "LookupService/GetIndexMark",
    "LookupService/Lookup",
    "LookupService/LookupStream",
    "RosterService/GetRoster",
    "TokenService/Evaluate",
];

/// The call at a path: service and call, `log` or `witness` for what is read by plain HTTP, or `other`.
#[must_use]
pub fn label(path: &str) -> &'static str {
    if path.starts_with("/log/") {
        return "log";
    }
    if path.starts_with("/witness/") {
        return "witness";
    }
    let name = path
        .strip_prefix("/wayhome.exchange.v1.")
        .or_else(|| path.strip_prefix("/grpc.health.v1."));
    CALLS
        .into_iter()
        .find(|call| name == Some(*call))
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_protocol_has_its_name() {
        let mut calls = 0;
        for file in std::fs::read_dir("proto/wayhome/exchange/v1").unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let mut service = "";
            for line in text.lines() {
                let mut words = line.split([' ', '(']).filter(|word| !word.is_empty());
                match (words.next(), words.next()) {
                    (Some("service"), Some(name)) => service = name,
                    (Some("rpc"), Some(call)) => {
                        let name = format!("{service}/{call}");
                        assert_eq!(label(&format!("/wayhome.exchange.v1.{name}")), name);
                        calls += 1;
                    }
                    _ => {}
                }
            }
        }
        assert!(calls >= 12, "{calls}");
        assert_eq!(label("/log/checkpoint"), "log");
        assert_eq!(
            label("/wayhome.exchange.v1.LookupService/Invented"),
            "other"
        );
        assert_eq!(label("/anything"), "other");
    }
}

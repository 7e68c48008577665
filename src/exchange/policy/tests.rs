use super::*;
use crate::exchange::disclose::Floor;
use crate::records::{Consent, FIELDS, FieldClass, Protection};
use crate::roster::{LegalBasis, Purpose};

fn question(purpose: Purpose) -> Question {
    Question {
        member: "ua".to_owned(),
        purpose,
        legal_basis: LegalBasis::PublicInterest,
        certain: true,
        urgent: false,
        record: RecordFacts {
            status: "located".to_owned(),
            protection: Protection::None,
            ground: Consent::Tracing,
            entered_by: vec!["someone".to_owned()],
            family_silent: false,
        },
    }
}

fn needs(purpose: Purpose, field: &str) -> Needs {
    let column = Column::from_name(field).unwrap();
    Policy::shipped().verdict(&question(purpose), column).needs
}

#[test]
fn the_schema_knows_every_field_in_its_class() {
    let actions: Vec<String> = PARSED_SCHEMA.actions().map(ToString::to_string).collect();
    for field in FIELDS.iter().filter(|field| field.disclosable) {
        assert!(
            actions.contains(&format!("Action::\"{}\"", field.name)),
            "{}",
            field.name
        );
        // A policy that permits the class permits the field, and no other class does.
        for class in ["identity", "contact", "place", "health", "legal", "note"] {
            let policy = Policy::parse(&format!(
                "@id(\"x\") permit (principal, action in [Action::\"{class} fields\", \
                 Action::\"{}\"], resource) when {{ action in Action::\"{class} fields\" }};",
                if field.class == FieldClass::Place {
                    "note"
                } else {
                    "current_place"
                }
            ))
            .unwrap();
            let granted = policy
                .verdict(&question(Purpose::FamilyTracing), field.column)
                .needs
                == Needs::Nobody;
            assert_eq!(
                granted,
                field.class.as_str() == class,
                "{} {class}",
                field.name
            );
        }
    }
}

#[test]
fn every_question_can_be_asked() {
    let policy = Policy::shipped();
    for &purpose in Purpose::ALL {
        for &legal_basis in LegalBasis::ALL {
            for protection in [
                Protection::None,
                Protection::Alert,
                Protection::Silent,
                Protection::HumanOnly,
            ] {
                for ground in [
                    Consent::None,
                    Consent::Tracing,
                    Consent::Guardian,
                    Consent::VitalInterest,
                    Consent::LegalObligation,
                ] {
                    let mut question = question(purpose);
                    question.legal_basis = legal_basis;
                    question.record.protection = protection;
                    question.record.ground = ground;
                    for field in FIELDS.iter().filter(|field| field.disclosable) {
                        assert!(
                            question
                                .to_cedar(&PARSED_SCHEMA, field.column, 0, false)
                                .is_ok()
                        );
                    }
                    let place = policy.verdict(&question, Column::CurrentPlace);
                    assert!(purpose != Purpose::Audit || place.needs == Needs::Refused);
                }
            }
        }
    }
}

#[test]
fn the_shipped_policy_says_what_its_sentences_say() {
    use Needs::{Nobody, OnePerson, Refused, TwoPeople};
    for (purpose, field, expected) in [
        (Purpose::FamilyTracing, "current_place", Nobody),
        (Purpose::FamilyTracing, "status", Nobody),
        (Purpose::FamilyTracing, "last_known_place", OnePerson),
        (Purpose::FamilyTracing, "family_name", OnePerson),
        (Purpose::FamilyTracing, "current_carer", TwoPeople),
        (Purpose::FamilyTracing, "document_number", TwoPeople),
        (Purpose::FamilyTracing, "note", Refused),
        (Purpose::Reunification, "last_known_place", Nobody),
        (Purpose::Reunification, "document_number", OnePerson),
        (Purpose::IdentityVerification, "current_carer", Refused),
        (Purpose::IdentityVerification, "citizenship", OnePerson),
        (Purpose::ChildProtection, "status", Nobody),
        (Purpose::ChildProtection, "current_place", OnePerson),
        (Purpose::ChildProtection, "note", TwoPeople),
        (Purpose::Audit, "status", Refused),
    ] {
        assert_eq!(needs(purpose, field), expected, "{purpose} {field}");
    }
    let policy = Policy::shipped();
    let mut human_only = question(Purpose::FamilyTracing);
    human_only.record.protection = Protection::HumanOnly;
    let place = policy.verdict(&human_only, Column::CurrentPlace);
    assert_eq!(place.needs, TwoPeople);
    for rule in [policy.rules().0, policy.rules().1].concat() {
        assert!(rule.says.ends_with('.'), "{} says nothing", rule.id);
    }
}

#[test]
fn one_person_releases_only_where_the_policy_says_so() {
    let policy = Policy::shipped();
    for &purpose in Purpose::ALL {
        for &legal_basis in LegalBasis::ALL {
            let mut question = question(purpose);
            question.legal_basis = legal_basis;
            let released = policy.break_glass(&question, Column::CurrentCarer);
            let may = purpose == Purpose::ChildProtection
                && matches!(
                    legal_basis,
                    LegalBasis::VitalInterest | LegalBasis::CourtOrder
                );
            assert_eq!(released.is_some(), may, "{purpose} {legal_basis}");
            // What is refused to two people is refused to one.
            assert_eq!(policy.break_glass(&question, Column::RecordRef), None);
        }
    }
    let mut protected = question(Purpose::ChildProtection);
    protected.legal_basis = LegalBasis::VitalInterest;
    protected.record.protection = Protection::HumanOnly;
    assert_eq!(policy.break_glass(&protected, Column::CurrentCarer), None);
}

#[test]
fn the_holders_own_business_is_refused_by_any_policy() {
    let all = Policy::parse("@id(\"all\") permit (principal, action, resource);").unwrap();
    for field in FIELDS {
        let verdict = all.verdict(&question(Purpose::FamilyTracing), field.column);
        assert_eq!(
            verdict.needs == Needs::Nobody,
            field.disclosable,
            "{}",
            field.name
        );
    }
}

#[test]
fn a_decision_is_explained_by_the_rule_that_made_it() {
    let policy = Policy::shipped();
    let place = policy.verdict(&question(Purpose::FamilyTracing), Column::CurrentPlace);
    assert_eq!(
        place.sentence(Column::CurrentPlace),
        "current_place is told at once, by the rule place-at-once: Where a child is, and what has \
         become of it, is told at once to a member that traces its family or prepares its return."
    );
    let note = policy.verdict(&question(Purpose::FamilyTracing), Column::Note);
    assert_eq!(
        note.sentence(Column::Note),
        "note is not told: no rule permits it."
    );
    let audit = policy.verdict(&question(Purpose::Audit), Column::Status);
    assert_eq!(
        audit.sentence(Column::Status),
        "status is not told, by the rule no-audit: An audit reads logs and evidence and is never \
         told a field."
    );
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_place() {
    let code = |text: &str| Policy::parse(text).err().map(|error| error.code());
    let rule = |body: &str| format!("@id(\"a\") permit (principal, action, resource) {body};");
    assert_eq!(code(&rule("")), None);
    assert_eq!(code(""), Some("POLICY_EMPTY"));
    assert_eq!(code("// nothing\n"), Some("POLICY_EMPTY"));
    assert_eq!(code(&" ".repeat(MAX_POLICY + 1)), Some("POLICY_TOO_LARGE"));
    for wrong in [
        "when { context.purpose == Purpose::\"family_tracking\" }",
        "when { context.purpose == \"family_tracing\" }",
        "when { context.aprovals >= 1 }",
        "when { resource.note == \"x\" }",
        "when { principal.role == \"x\" }",
    ] {
        assert_eq!(code(&rule(wrong)), Some("POLICY_INVALID"), "{wrong}");
    }
    assert_eq!(
        code("@id(\"a\") permit (principal, action == Action::\"curent_place\", resource);"),
        Some("POLICY_INVALID")
    );
    let twice = format!("{}\n{}", rule(""), rule("when { context.urgent }"));
    assert_eq!(code(&twice), Some("POLICY_RULE_NAME"));
    assert_eq!(
        code("permit (principal, action, resource);"),
        Some("POLICY_RULE_NAME")
    );
    assert_eq!(
        code("@id(\"a\") permit (principal == ?principal, action, resource);"),
        Some("POLICY_RULE_NAME")
    );
    let error = Policy::parse("// one\n@id(\"a\")\npermit (principal, action resource);").err();
    let Some(PolicyError::Syntax { line, column, why }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((line, column), (3, 27), "{why}");
}

#[test]
fn a_rule_that_cannot_be_followed_at_run_time_tells_nothing() {
    // Arithmetic that overflows is an error in Cedar, which passes over the rule.
    let policy = Policy::parse(
        "@id(\"all\") permit (principal, action, resource);
         @id(\"no\") forbid (principal, action, resource)
         when { context.approvals + 9223372036854775807 < 0 || context.certain };",
    )
    .unwrap();
    let verdict = policy.verdict(&question(Purpose::FamilyTracing), Column::Status);
    assert_eq!(verdict.needs, Needs::Refused);
}

#[test]
fn a_table_of_cases_is_held_against_the_policy() {
    let csv = "\
name,purpose,field,protection,certain,expect,rule
a place,family_tracing,current_place,,,granted,place-at-once
# A person looks at what is not certain.
uncertain,family_tracing,current_place,,no,one_approval,
silent,family_tracing,current_place,silent,,refused,
wrong,family_tracing,note,,,granted,
wrong rule,family_tracing,status,,,granted,no-audit
";
    let cases = read_table(csv, TableFormat::Csv).unwrap();
    let policy = Policy::shipped();
    let outcomes: Vec<bool> = cases
        .iter()
        .map(|case| case.hold(&policy).as_expected)
        .collect();
    assert_eq!(outcomes, [true, true, true, false, false]);
    assert_eq!(cases[1].place, 4);

    let toml = "
[[case]]
purpose = \"child_protection\"
legal_basis = \"court_order\"
field = \"current_carer\"
expect = \"break_glass\"
[[case]]
purpose = \"child_protection\"
legal_basis = \"consent\"
field = \"current_carer\"
expect = \"no_break_glass\"
";
    for case in read_table(toml, TableFormat::Toml).unwrap() {
        assert!(case.hold(&policy).as_expected, "case {}", case.place);
    }
}

#[test]
fn a_table_that_cannot_be_read_is_refused_with_its_place() {
    let csv = |row: &str| read_table(&format!("purpose,field,expect\n{row}\n"), TableFormat::Csv);
    assert!(csv("family_tracing,status,granted").is_ok());
    for (row, column) in [
        ("tracing,status,granted", "purpose"),
        ("family_tracing,shoe_size,granted", "field"),
        ("family_tracing,status,yes", "expect"),
    ] {
        let error = csv(row).err();
        assert!(
            matches!(&error, Some(TableError::Case { place: 2, column: found, .. }) if *found == column),
            "{error:?}"
        );
    }
    assert_eq!(
        read_table("purpose,field,expect\n", TableFormat::Csv),
        Err(TableError::Empty)
    );
    assert!(matches!(
        read_table("purpose,shoe\nx,y\n", TableFormat::Csv),
        Err(TableError::Unreadable(_))
    ));
    assert!(matches!(
        read_table("[[cases]]\n", TableFormat::Toml),
        Err(TableError::Unreadable(_))
    ));
}

#[test]
fn no_policy_goes_below_the_floor() {
    let all = Policy::parse("@id(\"all\") permit (principal, action, resource);").unwrap();
    let mut asked = question(Purpose::FamilyTracing);
    for (protection, certain, expected) in [
        (Protection::None, true, Needs::Nobody),
        (Protection::None, false, Needs::OnePerson),
        (Protection::Alert, true, Needs::Nobody),
        (Protection::HumanOnly, true, Needs::OnePerson),
        (Protection::Silent, true, Needs::Refused),
    ] {
        asked.record.protection = protection;
        asked.certain = certain;
        let verdict = all.verdict(&asked, Column::Status);
        assert_eq!(Floor::of_question(&asked).over(verdict.needs), expected);
    }
}

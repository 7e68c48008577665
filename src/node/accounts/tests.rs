use super::account::{Account, AccountState, Role};
use super::secrets;
use crate::ambient::Ambient;

#[test]
fn roles_have_stable_names() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    assert!("king".parse::<Role>().is_err());
}

#[test]
fn a_code_holds_once_it_is_given_and_no_other_does() {
    let (code, hash) = secrets::code(&Ambient::system());
    assert!(secrets::code_holds(&code, &hash));
    assert!(secrets::code_holds(&format!(" {code}\n"), &hash));
    assert!(!secrets::code_holds(&code[1..], &hash));
    assert!(!secrets::code_holds(&code, ""));
    let mut account = Account::invited("anna", [Role::Approver].into(), hash);
    assert_eq!(account.state(0), AccountState::Invited);
    assert!(!account.may(Role::Approver));
    assert!(account.invitation_holds(&code));
    account.claim("hash".to_owned(), "secret".to_owned());
    assert!(!account.invitation_holds(&code));
    assert!(account.may(Role::Approver) && !account.may(Role::Steward));
    account.change(&[].into(), &[].into(), true);
    assert!(!account.may(Role::Approver));
    assert_eq!(account.state(0), AccountState::Closed);
}

#[test]
fn five_refusals_lock_an_account_for_a_while() {
    let mut account = Account::invited("anna", [Role::Approver].into(), String::new());
    account.claim("hash".to_owned(), "secret".to_owned());
    for _ in 0..4 {
        account.refused(1_000);
    }
    assert_eq!(account.state(1_000), AccountState::Active);
    account.refused(1_000);
    assert_eq!(account.state(1_000), AccountState::Locked);
    assert_eq!(account.state(1_000 + 15 * 60_000), AccountState::Active);
}

/// The vectors of RFC 6238, appendix B (SHA-1), in six digits.
#[test]
fn authenticator_codes_are_those_of_the_standard() {
    let secret = hex::encode("12345678901234567890");
    for (time, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
    ] {
        let step = secrets::factor_step(&secret, code, time);
        assert_eq!(step, Some(time / 30), "{time}");
        // A little early or late, it is still the same step's code; later, it is none.
        assert_eq!(secrets::factor_step(&secret, code, time + 30), step);
        assert_eq!(secrets::factor_step(&secret, code, time + 90), None);
    }
    for wrong in ["", "28708", "2870821", "28708a", "287083"] {
        assert_eq!(secrets::factor_step(&secret, wrong, 59), None, "{wrong}");
    }
}

#[tokio::test]
async fn a_password_is_known_by_its_hash_alone() {
    let ambient = Ambient::system();
    let hash = secrets::hash(&ambient, "correct horse battery")
        .await
        .unwrap();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    let verify =
        async |hash: Option<&str>, password: &str| secrets::verify(hash, password).await.unwrap();
    assert!(verify(Some(&hash), "correct horse battery").await);
    assert!(!verify(Some(&hash), "wrong horse battery").await);
    assert!(!verify(Some("nonsense"), "correct horse battery").await);
    assert!(!verify(None, "correct horse battery").await);
    assert!(secrets::check_password("short").is_err());
    assert!(secrets::check_password(&"x".repeat(2_000)).is_err());
    assert!(secrets::check_password("correct horse battery").is_ok());
}

//! A master key in a token (SoftHSM): what the seam promises holds there too, a node moves over to it,
//! and what is wrong with it is said with what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use wayhome::ambient::Ambient;
use wayhome::node::keys::{MasterConfig, PinConfig, Pkcs11Config};
use wayhome::node::{Config, Directory};
use wayhome::vault::{DataKey, KeyWrapper as _, Pkcs11Keys, Place, TokenKeys, VaultError};

use crate::coalition::Coalition;
use crate::process::{self, NodeProcess, left_out};

const PIN: &str = "4711-0815";
const TOKEN: &str = "wayhome-test";

/// Where distributions put SoftHSM's module.
const MODULES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
];

fn module() -> Option<PathBuf> {
    MODULES
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

/// The module reads where its tokens are from the environment, once: a test that uses it runs in a
/// process of its own. True in that process; in the other, the test has run, or is left out because
/// there is no module.
fn with_a_token_of_its_own(test: &str) -> bool {
    const MARK: &str = "WAYHOME_TEST_TOKEN";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    if module().is_none() {
        left_out(
            "softhsm2-util",
            &format!("SoftHSM is not installed (package softhsm2), for pkcs11::{test}"),
        );
        return false;
    }
    let home = tempfile::tempdir().unwrap();
    let tokens = home.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let conf = home.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&conf, text).unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("pkcs11::{test}"), "--nocapture"])
        .env("SOFTHSM2_CONF", conf)
        .env(MARK, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    false
}

/// Makes the token, with keys of these labels; those that `may_leave` names can be taken out.
fn make_token(labels: &[&str], may_leave: &[&str]) {
    let module = Pkcs11::new(module().unwrap()).unwrap();
    // The program's own use of it in this process counts as well.
    let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let pin = AuthPin::new(PIN.to_owned().into());
    let officer = AuthPin::new("officer-1".to_owned().into());
    let slot = module.get_all_slots().unwrap()[0];
    module.init_token(slot, &officer, TOKEN).unwrap();
    let slot = module.get_slots_with_initialized_token().unwrap()[0];
    let session = module.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&officer)).unwrap();
    session.init_pin(&pin).unwrap();
    session.logout().unwrap();
    session.login(UserType::User, Some(&pin)).unwrap();
    for label in labels {
        let leaves = may_leave.contains(label);
        session
            .generate_key(
                &Mechanism::AesKeyGen,
                &[
                    Attribute::Token(true),
                    Attribute::Private(true),
                    Attribute::Sensitive(!leaves),
                    Attribute::Extractable(leaves),
                    Attribute::Encrypt(true),
                    Attribute::Decrypt(true),
                    Attribute::ValueLen(32_u64.into()),
                    Attribute::Label(label.as_bytes().to_vec()),
                ],
            )
            .unwrap();
    }
    session.logout().unwrap();
    session.close().unwrap();
    // Kept initialised: the program uses the same module in this process.
    std::mem::forget(module);
}

fn wanted(keys: &[&str]) -> TokenKeys {
    TokenKeys {
        module: module().unwrap(),
        token: TOKEN.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    }
}

#[test]
fn the_seam_holds_in_a_token() {
    if !with_a_token_of_its_own("the_seam_holds_in_a_token") {
        return;
    }
    make_token(&["one", "two", "loose"], &["loose"]);
    // A wrong PIN first: a module that has let one session in asks no other for it.
    let refused = |wanted: TokenKeys, pin: &str, remedy: &str| {
        let error = Pkcs11Keys::open(wanted, pin.as_bytes()).err().unwrap();
        let said = error.to_string();
        assert!(matches!(error, VaultError::Token { .. }), "{said}");
        assert!(said.contains(remedy), "{said}");
        assert!(!said.contains(PIN), "{said}");
    };
    refused(wanted(&["one"]), "0000", "the PIN is wrong");
    let ambient = Ambient::system();
    let one = Pkcs11Keys::open(wanted(&["one"]), format!("{PIN}\n").as_bytes()).unwrap();
    let both = Pkcs11Keys::open(wanted(&["two", "one"]), PIN.as_bytes()).unwrap();
    let place = Place::new("table", "column", b"row");
    let key = DataKey::generate(&mut ambient.rng());
    let wrapped = one.wrap(&key, place, &mut ambient.rng()).unwrap();
    let again = one.wrap(&key, place, &mut ambient.rng()).unwrap();
    assert_ne!(wrapped, again, "a nonce is used once");
    assert!(!wrapped.windows(32).any(|window| window == key.expose()));
    for keys in [&one, &both] {
        assert!(keys.unwrap(&wrapped, place).unwrap().expose() == key.expose());
    }
    assert!(one.is_current(&wrapped).unwrap());
    assert!(!both.is_current(&wrapped).unwrap());
    let by_two = both.wrap(&key, place, &mut ambient.rng()).unwrap();
    assert!(matches!(
        one.unwrap(&by_two, place),
        Err(VaultError::UnknownKey { .. })
    ));
    // In another place, or changed anywhere, it does not open.
    let elsewhere = Place::new("table", "column", b"other");
    assert!(matches!(
        one.unwrap(&wrapped, elsewhere),
        Err(VaultError::DoesNotOpen)
    ));
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[at] ^= 1;
        assert!(one.unwrap(&changed, place).is_err(), "octet {at}");
        assert!(one.unwrap(&wrapped[..at], place).is_err(), "cut at {at}");
    }
    // It still works after all that was refused, and from many threads at once.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert!(one.unwrap(&wrapped, place).unwrap().expose() == key.expose());
                }
            });
        }
    });
    refused(wanted(&["three"]), PIN, "make one that cannot be taken out");
    refused(wanted(&["loose"]), PIN, "not extractable");
    refused(wanted(&[]), PIN, "name the label");
    let other = TokenKeys {
        token: "another".to_owned(),
        ..wanted(&["one"])
    };
    refused(other, PIN, "connect and initialise the token");
    let nowhere = TokenKeys {
        module: PathBuf::from("/no/such/module.so"),
        ..wanted(&["one"])
    };
    refused(nowhere, PIN, "install the module");
}

fn set_master(home: &Path, keys: &[&str], pin: &Path) {
    let directory = Directory::new(home);
    let mut config = Config::load(&directory).unwrap();
    config.keys.master = MasterConfig::Pkcs11(Pkcs11Config {
        module: module().unwrap(),
        token: TOKEN.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        pin: PinConfig::File(pin.to_owned()),
    });
    directory.write("node.toml", &config.to_text()).unwrap();
}

fn write_pin(path: &Path, pin: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, pin).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_moves_its_master_key_into_a_token_and_rotates_it_there() {
    if !with_a_token_of_its_own("a_node_moves_its_master_key_into_a_token_and_rotates_it_there") {
        return;
    }
    make_token(&["one", "two"], &[]);
    let coalition = Coalition::found(|_| {});
    let home = coalition.path("pl");
    let register = home.join("register.csv");
    std::fs::write(
        &register,
        "record_ref,family_name,given_name,date_of_birth,consent\nK-1,Коваль,Олег,2014-05-03,tracing\n",
    )
    .unwrap();
    let register = register.display().to_string();
    let node = NodeProcess::start(&home).await;
    let said = process::run(&home, &["records", "import", &register]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(node.stop().await.success());

    // What is wrong is said before anything is done.
    let pin = home.join("keys").join("pin");
    write_pin(&pin, "0000");
    set_master(&home, &["one"], &pin);
    let said = process::run(&home, &["--json", "run"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("the PIN is wrong"), "{said:?}");

    // The old file opens what is not wrapped anew yet; after one start it is needed no more.
    write_pin(&pin, PIN);
    let node = NodeProcess::start(&home).await;
    moved(&home).await;
    assert!(node.stop().await.success());
    let old = home.join("keys").join("master.key");
    std::fs::rename(&old, home.join("master.key.away")).unwrap();
    let node = NodeProcess::start(&home).await;
    let shown = process::run(&home, &["records", "show", "K-1", "--json"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    // The node cannot make keys in the token, and says who can.
    let said = process::run(&home, &["keys", "rotate", "--json"])
        .await
        .object();
    assert_eq!(said["error"]["code"], "MASTER_KEY_NOT_OURS", "{said}");
    let said = process::run(&home, &["keys", "rotate", "--wrapping-only"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(node.stop().await.success());

    // Rotated: another key of the token wraps, and then the first is needed no more.
    set_master(&home, &["two", "one"], &pin);
    let node = NodeProcess::start(&home).await;
    moved(&home).await;
    assert!(node.stop().await.success());
    set_master(&home, &["two"], &pin);
    let node = NodeProcess::start(&home).await;
    let shown = process::run(&home, &["records", "show", "K-1", "--json"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(node.stop().await.success());
}

/// Waits until a node that has just started has wrapped everything by its current master key. Its
/// first answer to a question about keys comes after that.
async fn moved(home: &Path) {
    let wrapped = || std::fs::read_to_string(home.join("keys").join("wrapping.keys")).unwrap();
    let said = process::run(home, &["keys", "status", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    // Version 2 is what a token wraps.
    let lines = wrapped();
    let lines = lines.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        assert!(line.rsplit(' ').next().unwrap().starts_with("02"), "{line}");
    }
}

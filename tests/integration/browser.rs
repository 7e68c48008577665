//! A real browser, driven over its own debugging pipe: as people see pages, with nothing between.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::process::{PATIENCE, left_out};

/// Chromium, if it is installed.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

/// Fetches axe-core once, into the target directory.
pub async fn axe() -> Option<PathBuf> {
    const VERSION: &str = "axe-core@4.10.3";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
    let file = folder.join("package/axe.min.js");
    if file.is_file() {
        return Some(file);
    }
    std::fs::create_dir_all(&folder).ok()?;
    let fetched = Command::new("npm")
        .args(["pack", "--silent", VERSION, "--pack-destination"])
        .arg(&folder)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let fetched = tokio::time::timeout(PATIENCE, fetched).await.ok()?.ok()?;
    let archive = String::from_utf8_lossy(&fetched.stdout).trim().to_owned();
    let unpacked = Command::new("tar")
        .arg("xzf")
        .arg(folder.join(archive.lines().next_back()?))
        .arg("-C")
        .arg(&folder)
        .status()
        .await
        .ok()?;
    (unpacked.success() && file.is_file()).then_some(file)
}

/// A running browser. Dropped, it is killed.
pub struct Browser {
    wire: Arc<Mutex<Wire>>,
    axe: Option<String>,
    _child: Child,
    _home: TempDir,
}

struct Wire {
    to: pipe::Sender,
    from: pipe::Receiver,
    read: Vec<u8>,
    last: u64,
}

impl Wire {
    /// Sends a command and waits for its answer; events on the way are passed over.
    async fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let answer = self.ask(session, method, parameters).await;
        assert!(
            answer.get("error").is_none(),
            "{method}: {}",
            answer["error"]
        );
        answer["result"].clone()
    }

    async fn ask(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut command = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut text = command.to_string().into_bytes();
        text.push(0);
        self.to.write_all(&text).await.unwrap();
        loop {
            let message = self.message().await;
            if message["id"] == self.last {
                return message;
            }
        }
    }

    async fn message(&mut self) -> Value {
        loop {
            if let Some(end) = self.read.iter().position(|octet| *octet == 0) {
                let rest = self.read.split_off(end + 1);
                let message = std::mem::replace(&mut self.read, rest);
                return serde_json::from_slice(&message[..end]).unwrap();
            }
            let read = tokio::time::timeout(PATIENCE, self.from.read_buf(&mut self.read)).await;
            let count = read.expect("the browser says nothing").unwrap();
            assert!(count > 0, "the browser is gone");
        }
    }
}

impl Browser {
    /// Starts the browser, if there is one.
    pub async fn start() -> Option<Self> {
        let program = program()?;
        let home = tempfile::tempdir().unwrap();
        let (into, out) = (home.path().join("into"), home.path().join("out"));
        let made = Command::new("mkfifo").args([&into, &out]).status().await;
        assert!(made.unwrap().success());
        // Open for both, so that neither side waits for the other.
        let open = || {
            let mut options = pipe::OpenOptions::new();
            options.read_write(true);
            options
        };
        let from = open().open_receiver(&out).unwrap();
        let to = open().open_sender(&into).unwrap();
        let child = Command::new("sh")
            .args([
                "-c",
                "into=$1 out=$2; shift 2; exec \"$@\" 3<\"$into\" 4>\"$out\"",
                "sh",
            ])
            .args([&into, &out])
            .arg(&program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args([
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-sync",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en"])
            .arg(format!(
                "--user-data-dir={}",
                home.path().join("profile").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let axe = match axe().await {
            Some(file) => Some(std::fs::read_to_string(file).unwrap()),
            None => {
                left_out(
                    "axe",
                    "axe-core could not be fetched, so no page was looked at by it",
                );
                None
            }
        };
        Some(Self {
            wire: Arc::new(Mutex::new(Wire {
                to,
                from,
                read: Vec::new(),
                last: 0,
            })),
            axe,
            _child: child,
            _home: home,
        })
    }

    /// A window of a person of their own: nobody else's cookies are in it.
    pub async fn window(&self) -> Tab {
        let mut wire = self.wire.lock().await;
        let context = wire
            .call(None, "Target.createBrowserContext", json!({}))
            .await["browserContextId"]
            .clone();
        let target = wire
            .call(
                None,
                "Target.createTarget",
                json!({"url": "about:blank", "browserContextId": context}),
            )
            .await["targetId"]
            .clone();
        let session = wire
            .call(
                None,
                "Target.attachToTarget",
                json!({"targetId": target, "flatten": true}),
            )
            .await["sessionId"]
            .as_str()
            .unwrap()
            .to_owned();
        drop(wire);
        let tab = Tab {
            wire: Arc::clone(&self.wire),
            session,
            axe: self.axe.clone(),
            scripts: AtomicBool::new(true),
        };
        tab.call("Page.enable", json!({})).await;
        tab.size(1280, 1000).await;
        tab
    }
}

/// A window.
pub struct Tab {
    wire: Arc<Mutex<Wire>>,
    session: String,
    axe: Option<String>,
    scripts: AtomicBool,
}

impl Tab {
    async fn call(&self, method: &str, parameters: Value) -> Value {
        let mut wire = self.wire.lock().await;
        wire.call(Some(&self.session), method, parameters).await
    }

    /// Sets the window's size.
    pub async fn size(&self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        )
        .await;
    }

    /// Gives the window an authenticator of its own, whose person agrees to everything.
    pub async fn authenticator(&self) {
        self.call("WebAuthn.enable", json!({})).await;
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true,
            "automaticPresenceSimulation": true,
        });
        self.call(
            "WebAuthn.addVirtualAuthenticator",
            json!({"options": options}),
        )
        .await;
    }

    /// Lets scripts of pages run, or not.
    pub async fn scripts(&self, run: bool) {
        self.scripts.store(run, Ordering::Release);
        self.set_scripts(run).await;
    }

    async fn set_scripts(&self, run: bool) {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": !run}),
        )
        .await;
    }

    /// What an expression comes to in the page.
    pub async fn eval(&self, expression: &str) -> Value {
        let answer = self
            .call(
                "Runtime.evaluate",
                json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
            )
            .await;
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page, across pages that come and go.
    pub async fn until(&self, expression: &str) {
        let look = async {
            loop {
                let mut wire = self.wire.lock().await;
                let answer = wire
                    .ask(
                        Some(&self.session),
                        "Runtime.evaluate",
                        json!({
                            "expression": format!("!!(document.readyState === 'complete' && ({expression}))"),
                            "returnByValue": true,
                        }),
                    )
                    .await;
                drop(wire);
                // Between two pages there is nothing to ask.
                if answer["result"]["result"]["value"] == true {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            panic!("never: {expression}\n{}", self.text().await);
        }
    }

    /// Goes to an address and waits for the page.
    pub async fn go(&self, address: &str) {
        self.eval("window.was = true").await;
        self.call("Page.navigate", json!({"url": address})).await;
        self.until("!window.was").await;
    }

    /// The address.
    pub async fn address(&self) -> String {
        text(self.eval("location.href").await)
    }

    /// The path of the address.
    pub async fn path(&self) -> String {
        text(self.eval("location.pathname").await)
    }

    /// What a reader reads.
    pub async fn text(&self) -> String {
        text(self.eval("document.body.innerText").await)
    }

    /// The first heading.
    pub async fn title(&self) -> String {
        text(self.eval("document.querySelector('h1').innerText").await)
    }

    /// Types into the field of this name.
    pub async fn fill(&self, name: &str, value: &str) {
        let set = format!(
            "{{ const field = document.querySelector('main [name={}]'); field.value = {}; }}",
            json!(name),
            json!(value)
        );
        self.eval(&set).await;
    }

    /// Puts a file into the field of this name.
    pub async fn attach(&self, name: &str, file: &Path) {
        let document = self.call("DOM.getDocument", json!({})).await["root"]["nodeId"].clone();
        let selector = format!("main [name={}]", json!(name));
        let node = self
            .call(
                "DOM.querySelector",
                json!({"nodeId": document, "selector": selector}),
            )
            .await["nodeId"]
            .clone();
        self.call(
            "DOM.setFileInputFiles",
            json!({"files": [file.display().to_string()], "nodeId": node}),
        )
        .await;
    }

    /// Chooses a value of the field of this name.
    pub async fn choose(&self, name: &str, value: &str) {
        let set = format!(
            "document.querySelector('main [name={}][value={}]').checked = true",
            json!(name),
            json!(value)
        );
        self.eval(&set).await;
    }

    /// Presses the button with these words, and waits for the page that follows.
    pub async fn press(&self, words: &str) {
        let press = format!(
            "window.was = true; [...document.querySelectorAll('button')].find(one => one.innerText.trim() === {}).click()",
            json!(words)
        );
        self.eval(&press).await;
        self.until("!window.was").await;
    }

    /// Presses the button with these words twice in a row, as impatient people do.
    pub async fn press_twice(&self, words: &str) {
        let press = format!(
            "{{ window.was = true; const button = [...document.querySelectorAll('button')].find(one => one.innerText.trim() === {}); button.click(); button.click(); }}",
            json!(words)
        );
        self.eval(&press).await;
        self.until("!window.was").await;
    }

    /// Follows the link with these words.
    pub async fn follow(&self, words: &str) {
        let follow = format!(
            "window.was = true; [...document.querySelectorAll('a')].find(one => one.innerText.trim().startsWith({})).click()",
            json!(words)
        );
        self.eval(&follow).await;
        self.until("!window.was").await;
    }

    /// Goes back, as with the browser's own button.
    pub async fn back(&self) {
        self.eval("window.was = true; history.back()").await;
        self.until("!window.was").await;
    }

    /// Has axe look at the page; nothing may be wrong with it.
    pub async fn assert_no_barriers(&self) {
        let Some(axe) = &self.axe else {
            return;
        };
        // The page was loaded as its reader has it; axe itself is a script.
        self.set_scripts(true).await;
        self.eval(axe).await;
        let found = self
            .eval(
                "axe.run(document).then(found => ({passes: found.passes.length, wrong: \
                 found.violations.map(one => [one.id, one.nodes.map(node => node.html)])}))",
            )
            .await;
        self.set_scripts(self.scripts.load(Ordering::Acquire)).await;
        let address = self.address().await;
        assert!(found["passes"].as_u64() > Some(10), "{address}: {found}");
        assert_eq!(found["wrong"], json!([]), "{address}");
    }

    /// Whether a reader has to scroll sideways.
    pub async fn is_too_wide(&self) -> bool {
        self.eval("document.documentElement.scrollWidth > window.innerWidth")
            .await
            == true
    }

    /// Keeps a picture of the page, where `WAYHOME_TEST_PICTURES` says.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("WAYHOME_TEST_PICTURES") else {
            return;
        };
        let picture = self
            .call(
                "Page.captureScreenshot",
                json!({"format": "png", "captureBeyondViewport": true}),
            )
            .await;
        let picture = base64::engine::general_purpose::STANDARD
            .decode(picture["data"].as_str().unwrap())
            .unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }
}

fn text(value: Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

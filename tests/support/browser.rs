//! A real browser for one test: headless Chromium, driven through WebDriver, ended with the test however that ends.

use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;

use crate::support::http::Connection;
use crate::support::{Lines, TemporaryDirectory, in_place};

/// A page on a shared machine may take a while; the tour waits for NGINX, which takes ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    driver: Child,
    place: TemporaryDirectory,
    /// The port of the driver.
    port: String,
    pub page: Client,
}

/// Runs a test in a browser whose window has that size.
pub fn with<F: Future<Output = ()>>(width: u32, height: u32, test: impl FnOnce(Client) -> F) {
    with_looks(width, height, async |browser| test(browser.page.clone()).await);
}

/// The same, where the test changes how the page is looked at.
pub fn with_looks(width: u32, height: u32, test: impl AsyncFnOnce(&Browser)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let browser = Browser::start(width, height).await;
        test(&browser).await;
        browser.page.clone().close().await.unwrap();
    });
}

/// The driver, and its port. It takes a free one for IPv6 and then the same for IPv4, which another program may have: then it ends.
fn start_driver(place: &TemporaryDirectory) -> (Child, String) {
    const STARTED: &str = "started successfully on port";
    let mut printed = Vec::new();
    for _ in 0..5 {
        let mut command = in_place(Command::new("chromedriver"), place);
        command.arg("--port=0").process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().expect("chromedriver starts: tests/prepare installs it");
        let lines = Lines::default();
        lines.read(driver.stdout.take().unwrap());
        printed = lines.wait_until(STARTED, |lines| {
            lines.iter().any(|line| line.contains(STARTED) || line.contains("port not available"))
        });
        if let Some(line) = printed.iter().find(|line| line.contains(STARTED)) {
            return (driver, line.rsplit(' ').next().unwrap().trim_end_matches('.').to_owned());
        }
        driver.wait().unwrap();
    }
    panic!("chromedriver finds no port:\n{}", printed.join("\n"));
}

impl Browser {
    async fn start(width: u32, height: u32) -> Browser {
        let place = TemporaryDirectory::new();
        let (driver, port) = start_driver(&place);
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            // A name that its owner may point wherever they like.
            "--host-resolver-rules=MAP rebound.example 127.0.0.1".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", place.path().join("profile").display()),
        ];
        let options = json!({ "args": arguments });
        let capabilities = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let serde_json::Value::Object(capabilities) = capabilities else { unreachable!() };
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser starts");
        Browser { driver, place, port, page }
    }

    /// Has the page drawn as on a screen of that size, in the light or the dark scheme: windows cannot be as narrow as a phone.
    pub async fn look(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &metrics).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", &features).await;
    }

    /// A command of the DevTools protocol, through the driver.
    async fn command(&self, name: &str, parameters: &serde_json::Value) {
        let session = self.page.session_id().await.unwrap().expect("a session");
        let body = json!({ "cmd": name, "params": parameters }).to_string();
        let mut driver = Connection::to(self.port.parse().unwrap());
        let answer = driver.ask(&format!(
            "POST /session/{session}/goog/cdp/execute HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        ));
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.driver.id() as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.driver.wait();
        for left in self.place.processes() {
            let _ = Pid::from_raw(left as i32).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

/// The element, once it is there.
pub async fn find(page: &Client, css: &str) -> Element {
    let found = page.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
    found.unwrap_or_else(|error| panic!("{css}: {error}"))
}

pub async fn click(page: &Client, css: &str) {
    drawn(page, css, async |element| element.click().await).await;
}

pub async fn text(page: &Client, css: &str) -> String {
    drawn(page, css, async |element| element.text().await).await
}

/// Does something with an element; the page may draw it anew between the look and the deed, then it is looked for again.
async fn drawn<T>(page: &Client, css: &str, act: impl AsyncFn(Element) -> Result<T, CmdError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match act(find(page, css).await).await {
            Ok(done) => return done,
            Err(error) if error.is_stale_element_reference() && Instant::now() < deadline => {}
            Err(error) => panic!("{css}: {error}"),
        }
    }
}

/// What a script of the test's own returns.
pub async fn run(page: &Client, script: &str) -> serde_json::Value {
    page.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
}

/// What a script of the test's own gives to `done`.
pub async fn finish(page: &Client, script: &str) -> serde_json::Value {
    let script = format!("const done = arguments[arguments.length - 1]; {script}");
    page.execute_async(&script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
}

/// Waits until the text of an element satisfies.
pub async fn until(page: &Client, css: &str, what: &str, satisfied: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let is = text(page, css).await;
        if satisfied(&is) {
            return is;
        }
        assert!(Instant::now() < deadline, "never came true: {what}; {css} says {is:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where pictures go for the documentation, if they are wanted: `make screenshots`.
pub fn screenshots() -> Option<PathBuf> {
    std::env::var_os("SCREENSHOTS").map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

/// Takes a picture of what the window shows.
pub async fn picture(page: &Client, name: &str) {
    let shown = include_str!("../../docs/how-to/live-view.md").contains(&format!("{name}.png"));
    let folder = screenshots().filter(|_| shown).unwrap_or(env!("CARGO_TARGET_TMPDIR").into());
    let png = page.screenshot().await.unwrap();
    std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
}

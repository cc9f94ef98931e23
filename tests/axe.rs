//! What axe finds in the live view and in the HTML report: nothing, in any state, on a screen and on a phone, light and dark.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fantoccini::Client;
use serde_json::{Value, json};
use testbed::planted::{PlantedAlgorithm, PlantedBalancer};

use crate::support::browser::{Browser, click, find, run, until, with_looks};
use crate::support::{Fleet, complaints};

const HOST: &str = "localhost";
/// A wide window in the light, and a phone at night.
const LOOKS: [(u32, u32, &str); 2] = [(1440, 900, "light"), (390, 844, "dark")];

/// The script of axe-core, which tests/prepare installs.
fn axe() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/lib");
    let found = std::fs::read_dir(root).ok()?.filter_map(|entry| {
        let script: PathBuf = entry.ok()?.path().join("site-packages/axe_playwright_python/axe.min.js");
        std::fs::read_to_string(script).ok()
    });
    let script = found.into_iter().next();
    if script.is_none() {
        eprintln!("not run: axe-core is not there; tests/prepare installs it");
    }
    script
}

/// What axe finds in the page as it is, one line a rule and element.
async fn findings(page: &Client, axe: &str) -> Vec<String> {
    // Injected anew: a page that was loaded anew has none.
    page.execute(axe, Vec::new()).await.unwrap();
    let script = "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations \
                  .flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`))))";
    let found = page.execute_async(script, Vec::new()).await.unwrap();
    found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

async fn nothing_is_found(browser: &Browser, axe: &str, state: &str) {
    for (width, height, scheme) in LOOKS {
        browser.look(width, height, scheme).await;
        // What is drawn again after a change of the size.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let wide = run(&browser.page, "return document.documentElement.scrollWidth").await;
        assert!(wide.as_u64().unwrap() <= u64::from(width), "{state}, {width} wide: the page is {wide} wide");
        let found = findings(&browser.page, axe).await;
        assert!(found.is_empty(), "{state}, {width} wide, {scheme}:\n{}", found.join("\n"));
    }
}

/// What a check tells the live view.
fn news(result: &Value) -> Value {
    json!({ "url": "http://localhost:8080/uuid", "phase": "taking the sample", "sent": 10, "total": 100, "result": result })
}

#[test]
fn axe_finds_nothing_in_any_state_of_the_live_view() {
    let Some(axe) = axe() else { return };
    let (fleet, backends) = Fleet::of(3, &["--log", "off"]);
    let headers = format!("{}Content-Type: application/json\r\n", fleet.bearer());
    let put = |path: &str, body: &Value| {
        let answer = fleet.call_with("PUT", path, HOST, &headers, &body.to_string());
        assert!(answer.status < 300, "{path}: {answer:?}");
    };
    let view = fleet.view();
    with_looks(1440, 900, async |browser| {
        let page = &browser.page;
        page.goto(&view).await.unwrap();
        find(page, "[data-live=true] .backend").await;
        until(page, "#balancer", "the ways to a balancer", |text| text.contains("uuid-generator demo")).await;
        nothing_is_found(browser, &axe, "without a balancer").await;
        let url = format!("http://127.0.0.1:{}/", backends[0]);
        let choices = ["round-robin", "least-connections", "sticky"];
        put("/v1/front", &json!({ "url": url, "balancer": "NGINX", "algorithm": "round-robin", "choices": choices }));
        put("/v1/check/news", &news(&Value::Null));
        until(page, "#check-result", "the check runs", |text| text.contains("10 of 100")).await;
        nothing_is_found(browser, &axe, "while a check runs").await;
        let findings = [
            ("fail", "1 was lost", Some("look at it")),
            ("inconclusive", "too few", None),
            ("pass", "fine", None),
            ("note", "so", None),
        ];
        let result = json!({ "verdict": "fail", "algorithm": "random", "sent": 10, "outcomes": [["delivered", 9], ["lost", 1]],
            "client": { "p50": 1, "p90": 2, "p99": 3, "p99_9": 4 }, "findings": findings });
        put("/v1/check/news", &news(&result));
        crate::support::http::get(&url).unwrap();
        until(page, "#check-result", "the check has ended", |text| text.contains("FAIL")).await;
        click(page, &format!("[data-backend=\"{}\"] summary", backends[0])).await;
        click(page, &format!("[data-backend=\"{}\"] [data-fault=hang]", backends[0])).await;
        fleet.act("kill", backends[1]);
        until(page, "#marks", "it is gone", |marks| marks.contains("SIGKILL")).await;
        until(page, "#check-result", "the verdict is of the past", |text| text.contains("changed since")).await;
        nothing_is_found(browser, &axe, "with a killed backend, a fault and an old verdict").await;
        click(page, "#tour-open").await;
        find(page, "#tour-title").await;
        nothing_is_found(browser, &axe, "during the tour").await;
        fleet.signal(rustix::process::Signal::TERM);
        until(page, "#alarm", "the fleet has stopped", |text| text.contains("has stopped")).await;
        nothing_is_found(browser, &axe, "after the fleet has stopped").await;
    });
}

#[test]
fn axe_finds_nothing_in_the_html_report() {
    let Some(axe) = axe() else { return };
    let (fleet, backends) = Fleet::of(3, &["--log", "off"]);
    let balancer = PlantedBalancer::start(&backends, PlantedAlgorithm::RoundRobin);
    let (url, file) = (balancer.url("/uuid"), fleet.place.path().join("report.html"));
    let report = format!("html={}", file.display());
    let outage = format!("pause:{}@200ms,resume@600ms", backends[1]);
    let output = fleet.program(&[
        "check",
        &url,
        "--no-experiments",
        "--rate",
        "300",
        "--duration",
        "1500ms",
        "--expect",
        "9:1:1",
        "--outage",
        &outage,
        "--report",
        &report,
    ]);
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{}", complaints(&output));
    with_looks(1440, 900, async |browser| {
        browser.page.goto(&format!("file://{}", file.display())).await.unwrap();
        find(&browser.page, "article h2").await;
        nothing_is_found(browser, &axe, "the report").await;
    });
}

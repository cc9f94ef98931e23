//! The live view in a real browser, before a real NGINX: what is clicked is done, what is done is seen, and nothing that came from a
//! request is more than text.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::browser::{click, find, finish, picture, run, text, until};
use crate::support::{DefaultPorts, Fleet, TemporaryDirectory, list, ports, program};
use fantoccini::{Client, Locator};

/// A demo with a real balancer; ended with the value.
struct Demo {
    _process: crate::support::Demo,
    _place: TemporaryDirectory,
    _default_ports: Option<DefaultPorts>,
    view: String,
    ports: Vec<u16>,
}

impl Demo {
    fn start(balancer: &str) -> Demo {
        let place = TemporaryDirectory::new();
        // Pictures show the ports that their reader will have.
        let default_ports = crate::support::browser::screenshots().map(|_| DefaultPorts::wait());
        let (backends, listen) = match default_ports {
            Some(_) => (vec![9001, 9002, 9003], "8080".to_owned()),
            None => (ports(3), ports(1)[0].to_string()),
        };
        let demo = crate::support::Demo::start(&place, balancer, &backends, &listen);
        let view = demo.view();
        Demo { _process: demo, _place: place, _default_ports: default_ports, view, ports: backends }
    }

    /// Of the card of a backend.
    fn card(&self, place: usize, within: &str) -> String {
        format!("[data-backend=\"{}\"] {within}", self.ports[place])
    }
}

fn percent(text: &str) -> f64 {
    text.trim_end_matches(" %").parse().unwrap_or(-1.0)
}

/// Opens it and waits until it lives.
async fn open(page: &Client, url: &str) {
    page.goto(url).await.unwrap();
    find(page, "[data-live=true] .backend").await;
}

#[test]
fn a_backend_that_is_killed_by_a_click_gets_nothing_and_comes_back_by_another() {
    let demo = Demo::start("nginx");
    crate::support::browser::with(1400, 1250, async |page| {
        open(&page, &demo.view).await;
        let share = |place| demo.card(place, ".share");
        until(&page, &share(1), "a share of a third", |share| (30.0..37.0).contains(&percent(share))).await;
        if crate::support::browser::screenshots().is_some() {
            tokio::time::sleep(Duration::from_secs(25)).await;
        }
        picture(&page, "live-healthy").await;
        click(&page, &demo.card(1, "[data-action=kill]")).await;
        until(&page, &demo.card(1, ".state"), "it is gone", |state| state.contains("gone")).await;
        until(&page, &share(1), "nothing is left of its share", |share| percent(share) == 0.0).await;
        for place in [0, 2] {
            until(&page, &share(place), "the others take over", |share| (45.0..56.0).contains(&percent(share))).await;
        }
        picture(&page, "live-killed").await;
        let marks = text(&page, "#marks").await;
        assert!(marks.contains("gone: signal 9, SIGKILL"), "{marks}");
        // By the keyboard.
        let start = find(&page, &demo.card(1, "[data-action=start]")).await;
        start.send_keys("\u{e007}").await.unwrap();
        until(&page, &demo.card(1, ".state"), "it is ready", |state| state.contains("ready")).await;
        until(&page, &share(1), "it gets a share again", |share| percent(share) > 5.0).await;
    });
}

#[test]
fn each_step_of_the_tour_shows_with_a_real_nginx_what_its_text_says() {
    let demo = Demo::start("nginx");
    crate::support::browser::with(1400, 1250, async |page| {
        open(&page, &demo.view).await;
        click(&page, "#tour-open").await;
        for step in 1..=5 {
            until(&page, "#tour-title", "the next step", |title| title.starts_with(&format!("{step} of 5"))).await;
            let acts = page.find_all(Locator::Css("#tour .do")).await.unwrap().len();
            for act in 0..acts {
                until(&page, "#said", "what went before is done", |said| !said.ends_with('…')).await;
                click(&page, &format!("[data-act=\"{act}\"]")).await;
                let line = format!("#tour li:nth-child({}) .seen", act + 1);
                let seen =
                    until(&page, &line, "what the text says is seen", |seen| seen.starts_with("✓ You see it")).await;
                println!("{step}.{}: {seen}", act + 1);
            }
            picture(&page, &format!("live-tour-{step}")).await;
            if step < 5 {
                click(&page, "#tour-next").await;
            }
        }
    });
}

#[test]
fn a_check_is_started_by_a_click_and_told_with_its_account_and_verdict() {
    let demo = Demo::start("haproxy");
    crate::support::browser::with(1400, 1250, async |page| {
        open(&page, &demo.view).await;
        click(&page, "#check").await;
        until(&page, "#marks", "it begins and ends, after that of the demo", |marks| {
            marks.matches("the check ends: pass").count() == 2
        })
        .await;
        let result = until(&page, "#check-result", "the verdict", |result| result.contains("PASS")).await;
        assert!(
            result.contains("requests:") && result.contains("delivered") && result.contains("round robin"),
            "{result}"
        );
    });
}

#[test]
fn another_algorithm_is_chosen_from_those_that_this_balancer_has() {
    let demo = Demo::start("haproxy");
    crate::support::browser::with(1400, 1250, async |page| {
        open(&page, &demo.view).await;
        let choices =
            run(&page, "return [...document.querySelector('#algorithm').options].map((it) => it.value)").await;
        let choices: Vec<String> = serde_json::from_value(choices).unwrap();
        assert!(
            ["round-robin", "least-connections", "sticky"].iter().all(|it| choices.iter().any(|known| known == it))
        );
        assert!(!choices.contains(&"least-time".to_owned()), "{choices:?}");
        find(&page, "#algorithm").await.select_by_label("sticky").await.unwrap();
        click(&page, "form:has(#algorithm) button").await;
        until(&page, "#front", "it is told so", |front| front.contains("sticky")).await;
        find(&page, "h1").await.click().await.unwrap();
        // It has a name of its own for the cookie, and is still the one that was chosen.
        let chosen = || run(&page, "return document.querySelector('#algorithm').value");
        assert_eq!(chosen().await, "sticky");
        click(&page, "#send-one").await;
        until(&page, "#said", "one visitor stays with one backend", |said| said.contains("of one client: 30 × ")).await;
        assert_eq!(chosen().await, "sticky");
    });
}

/// In a header: in a target or a Host it is refused.
const HOSTILE: &str = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>";

#[test]
fn what_came_from_a_request_is_text_and_the_page_takes_nothing_from_elsewhere() {
    let (fleet, backends) = Fleet::of(2, &["--log", "off"]);
    crate::support::browser::with(900, 900, async |page| {
        open(&page, &fleet.view()).await;
        // It is shown from when the backends know that somebody looks.
        let told = page.find(Locator::Css("#requests tbody")).await.unwrap();
        let deadline = Instant::now() + crate::support::browser::PATIENCE;
        while !told.text().await.unwrap().contains("/a") {
            assert!(Instant::now() < deadline, "the request was never shown");
            let request = format!("GET /a HTTP/1.1\r\nHost: h\r\nX-Evil: {HOSTILE}\r\nConnection: close\r\n\r\n");
            crate::support::http::Connection::to(backends[0]).ask(&request);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        click(&page, "#requests details summary").await;
        let headers = text(&page, "#requests details dl").await;
        assert!(headers.contains(HOSTILE), "{headers}");
        assert_eq!(
            run(
                &page,
                "return [window.pwned ?? null, document.querySelectorAll('#requests img, #requests script').length]"
            )
            .await,
            serde_json::json!([null, 0])
        );
        // Nothing inline, nothing from elsewhere: refused by the policy, not by luck.
        let refused = run(&page, "const script = document.createElement('script'); try { script.text = 'window.pwned = 2'; document.head.append(script) } catch {} return window.pwned ?? null").await;
        assert_eq!(refused, serde_json::Value::Null);
        let own = run(
            &page,
            "return performance.getEntriesByType('resource').every((entry) => entry.name.startsWith(location.origin))",
        )
        .await;
        assert_eq!(own, true);
        // The same colour everywhere.
        let colour = run(
            &page,
            &format!(
                "return getComputedStyle(document.querySelector('[data-backend=\"{}\"] .fill')).backgroundColor",
                backends[1]
            ),
        )
        .await;
        page.goto(&format!("http://127.0.0.1:{}/", backends[1])).await.unwrap();
        assert_eq!(run(&page, "return getComputedStyle(document.documentElement).borderTopColor").await, colour);
    });
}

#[test]
fn where_other_machines_can_knock_the_page_needs_the_token() {
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    command.args(["--ports", &list(&ports(2)), "--control", "0.0.0.0:0", "--log", "off"]);
    let fleet = Fleet::spawn(command, place);
    let view = fleet.output.wait_for("The live view: ").split_once(": ").unwrap().1.replace("0.0.0.0", "127.0.0.1");
    let (address, token) = view.split_once("#token=").unwrap();
    assert!(token.len() >= 32, "{view}");
    crate::support::browser::with(500, 900, async |page| {
        page.goto(address).await.unwrap();
        until(&page, "#alarm", "it may not look", |said| said.contains("open the address that the fleet printed"))
            .await;
        page.goto("about:blank").await.unwrap();
        open(&page, &view).await;
        // The token does not stay in the address, where others would read it.
        assert_eq!(run(&page, "return location.hash").await, "");
        click(&page, ".backend [data-action=pause]").await;
        until(&page, ".backend .state", "it is paused", |state| state.contains("paused")).await;
        picture(&page, "live-phone").await;
    });
}

#[test]
fn without_the_token_the_page_shows_and_changes_nothing_and_a_fleet_that_ends_is_seen_at_once() {
    let (fleet, _) = Fleet::of(2, &["--log", "off"]);
    let view = fleet.view();
    crate::support::browser::with(1200, 900, async |page| {
        let enabled = "return [...document.querySelectorAll('[data-acts]')].filter((it) => !it.disabled).length";
        open(&page, &format!("{}/", fleet.control)).await;
        until(&page, "#access", "it says so", |said| said.contains("this page has no token")).await;
        assert_eq!(run(&page, enabled).await, 0);
        picture(&page, "live-read-only").await;
        page.goto("about:blank").await.unwrap();
        open(&page, &view).await;
        assert!(run(&page, enabled).await.as_u64().unwrap() > 10);
        assert_eq!(run(&page, "return document.querySelector('#access').hidden").await, true);
        // A reload keeps it: it is the tab's.
        page.refresh().await.unwrap();
        find(&page, "[data-live=true] .backend").await;
        assert!(run(&page, enabled).await.as_u64().unwrap() > 10);
        fleet.signal(rustix::process::Signal::TERM);
        until(&page, "#alarm", "it says that the fleet has stopped", |said| said.contains("The fleet has stopped"))
            .await;
        assert_eq!(run(&page, enabled).await, 0);
        let wide = "const it = document.querySelector('#alarm').getBoundingClientRect(); return it.width >= document.documentElement.clientWidth";
        assert_eq!(run(&page, wide).await, true);
        picture(&page, "live-stopped").await;
    });
}

#[test]
fn another_site_in_the_owners_browser_reads_and_changes_nothing() {
    let (fleet, backends) = Fleet::of(2, &["--log", "off"]);
    let api = &fleet.control;
    crate::support::browser::with(900, 700, async |page| {
        open(&page, &fleet.view()).await;
        let owner = page.window().await.unwrap();
        let other = page.new_window(true).await.unwrap().handle;
        page.switch_to_window(other).await.unwrap();
        // Another site is whatever has another port.
        page.goto(&format!("http://127.0.0.1:{}/", backends[0])).await.unwrap();
        let refused = [
            format!("fetch('{api}/v1/fleet').then(() => done('read'), () => done('refused'))"),
            format!(
                "fetch('{api}/v1/fleet', {{ headers: {{ Authorization: 'Bearer x' }} }}).then(() => done('read'), () => done('refused'))"
            ),
            format!(
                "const it = new EventSource('{api}/v1/live'); it.onopen = () => done('read'); it.onerror = () => done('refused')"
            ),
            "done(window.opener === null && sessionStorage.length === 0 ? 'refused' : 'read')".to_owned(),
        ];
        for script in &refused {
            assert_eq!(finish(&page, script).await, "refused", "{script}");
        }
        // A browser sends this without asking; the page may not read what comes of it.
        let kill = format!("{api}/v1/fleet/kill?backends={}", backends[1]);
        let sent =
            format!("fetch('{kill}', {{ method: 'POST', mode: 'no-cors', body: '' }}).then((it) => done(it.type))");
        assert_eq!(finish(&page, &sent).await, "opaque");
        // A name of another site's that leads here is no name of the fleet's.
        page.goto(&api.replace("127.0.0.1", "rebound.example")).await.unwrap();
        let status = "fetch('/v1/fleet').then((it) => done(it.status))";
        assert_eq!(finish(&page, status).await, 403);
        assert!(!text(&page, "body").await.contains("ready"));
        page.switch_to_window(owner).await.unwrap();
        for backend in &backends {
            let state = format!("[data-backend=\"{backend}\"] .state");
            until(&page, &state, "nothing was done to it", |state| state.contains("ready")).await;
        }
    });
}

#[test]
fn a_terminal_shows_the_same_and_takes_keys() {
    let (fleet, backends) = Fleet::of(2, &["--log", "off"]);
    let top = format!("{} top", crate::support::PROGRAM);
    let mut command = crate::support::in_place(Command::new("script"), &fleet.place);
    command.args(["-qec", &format!("stty rows 30 cols 140; {top}"), "/dev/null"]);
    let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).env("TERM", "xterm").spawn().unwrap();
    let mut keys = script.stdin.take().unwrap();
    let mut output = script.stdout.take().unwrap();
    let shown = Arc::new(Mutex::new(String::new()));
    let kept = shown.clone();
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count) = output.read(&mut bytes)
            && count > 0
        {
            kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
    let has = |text: &str| shown.lock().unwrap().contains(text);
    crate::support::eventually("it is drawn", || has("quit") && has("ready"));
    keys.write_all(b"jk").unwrap();
    crate::support::eventually("the second one is killed", || fleet.backend(backends[1]).pid.is_none());
    keys.write_all(b"s").unwrap();
    crate::support::eventually("and started", || fleet.backend(backends[1]).pid.is_some());
    keys.write_all(b"q").unwrap();
    assert!(script.wait().unwrap().success(), "{}", shown.lock().unwrap());
    reader.join().unwrap();
    let error = crate::support::error_of(&fleet.program(&["top"]));
    assert!(error.contains("top needs a terminal"), "{error}");
}
